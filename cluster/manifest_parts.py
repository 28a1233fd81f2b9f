"""Parts that the manifests of Kubernetes share: pods and their containers, secrets, labels, and how YAML is written."""

from typing import Any

import yaml

from configs.ray_environment import ray_environment
from configs.sizing import GROUP_LABEL, load_sizing

NAME = "loquent"
IMAGE = "registry.example.com/loquent:0.1.0"
SECRET = "loquent"  # noqa: S105  # the name of the Kubernetes Secret
REDIS_ADDRESS = "redis:6379"
PORT = 8000
RAYLET_PORT, DASHBOARD_PORT = 52365, 8265

REQUIRED_SECRETS = {
    "DATABASE_URL": "database-url",
    "REDIS_URL": "redis-url",
    "LOQUENT_OBJECT_STORE_URL": "object-store-url",
    "LOQUENT_SECRET_KEY": "secret-key",
    "LOQUENT_MASTER_KEYS": "master-keys",
    "STRIPE_API_KEY": "stripe-api-key",
    "STRIPE_WEBHOOK_SECRET": "stripe-webhook-secret",
}
OPTIONAL_SECRETS = {
    "AWS_ACCESS_KEY_ID": "aws-access-key-id",
    "AWS_SECRET_ACCESS_KEY": "aws-secret-access-key",
    "OPENAI_API_KEY": "openai-api-key",
    "ANTHROPIC_API_KEY": "anthropic-api-key",
    "SENTRY_DSN": "sentry-dsn",
    "LOQUENT_PUBLIC_URL": "public-url",
    "LOQUENT_SMTP_URL": "smtp-url",
    "LOQUENT_MAIL_FROM": "mail-from",
}

Document = dict[str, Any]


def head_pod(*, cpu: str = "2", memory: str = "8Gi", env: list[Document] | None = None) -> Document:
    """`env` in place of what the platform's own processes have."""
    ports = {"gcs-server": 6379, "dashboard": DASHBOARD_PORT, "client": 10001, "serve": PORT}
    container = ray_container("ray-head", cpu, memory, env=env) | {
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        "livenessProbe": _probe(RAYLET_PORT, "/api/local_raylet_healthz", failures=120),
        "readinessProbe": _probe(DASHBOARD_PORT, "/api/gcs_healthz", failures=10),
    }
    return pod_of("head", container, grace_seconds=60)


def workers(
    group: str, *, cpu: str, memory: str, least: int, most: int, gpus: int = 0, env: list[Document] | None = None
) -> Document:
    """Workers of the ingest group serve nothing: they are ready with their raylet, the others with their proxy."""
    serves = group != "ingest"
    ready = (PORT, "/-/healthz") if serves else (RAYLET_PORT, "/api/local_raylet_healthz")
    container = ray_container("ray-worker", cpu, memory, gpus, env) | {
        "ports": [{"name": "serve", "containerPort": PORT}],
        "livenessProbe": _probe(RAYLET_PORT, "/api/local_raylet_healthz", failures=120),
        "readinessProbe": _probe(*ready, failures=2 if serves else 10),
    }
    pod = pod_of(group, container, grace_seconds=180 if serves else 60)
    if gpus:
        pod["spec"]["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    if least > 1:
        pod["spec"]["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels(group)},
            }
        ]
    return {
        "groupName": group,
        "replicas": least,
        "minReplicas": least,
        "maxReplicas": most,
        "idleTimeoutSeconds": 300 if serves else 120,
        "labels": {GROUP_LABEL: group},
        "rayStartParams": {},
        "template": pod,
    }


def pod_of(component: str, container: Document, *, grace_seconds: int) -> Document:
    return {
        "metadata": {"labels": labels(component)},
        "spec": {
            # Autoscaler v2: a pod is one Ray node and never comes back as another.
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": grace_seconds,
            "securityContext": pod_security(),
            "containers": [container],
            "volumes": [{"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "4Gi"}}],
        },
    }


def ray_container(name: str, cpu: str, memory: str, gpus: int = 0, env: list[Document] | None = None) -> Document:
    return {
        "name": name,
        "image": IMAGE,
        "env": environment(ray_environment()) if env is None else env,
        "envFrom": [{"configMapRef": {"name": NAME, "optional": True}}],
        "resources": resources(cpu, memory, gpus),
        "securityContext": container_security(),
        "volumeMounts": [{"name": "shared-memory", "mountPath": "/dev/shm"}],  # noqa: S108
    }


def environment(flags: dict[str, str]) -> list[Document]:
    plain = {
        "LOQUENT_PROFILE": "kubernetes",
        "LOQUENT_DATA_DIR": "/data",
        "LOQUENT_LOCAL_ENGINE": "vllm",
        "LOQUENT_SESSION_HOSTS": str(load_sizing("kubernetes").session_hosts.count),
        **flags,
    }
    return [
        *environment_of(plain),
        *({"name": name, **secret(key)} for name, key in REQUIRED_SECRETS.items()),
        *({"name": name, **secret(key, optional=True)} for name, key in OPTIONAL_SECRETS.items()),
    ]


def environment_of(plain: dict[str, str]) -> list[Document]:
    return [{"name": name, "value": value} for name, value in plain.items()]


def secret(key: str, *, optional: bool = False, name: str = SECRET) -> Document:
    reference: Document = {"name": name, "key": key} | ({"optional": True} if optional else {})
    return {"valueFrom": {"secretKeyRef": reference}}


def resources(cpu: str, memory: str, gpus: int = 0) -> Document:
    amounts = {"cpu": cpu, "memory": memory} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    return {"requests": dict(amounts), "limits": dict(amounts)}


def _probe(port: int, path: str, *, failures: int) -> Document:
    return {
        "httpGet": {"port": port, "path": path},
        "initialDelaySeconds": 10,
        "periodSeconds": 5,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def labels(component: str | None = None) -> dict[str, str]:
    """KubeRay writes the `app.kubernetes.io` labels of pods itself: what we select by has a name of ours."""
    if component is None:
        return {"app.kubernetes.io/name": NAME}
    return {"loquent.dev/component": component}


def pod_security() -> Document:
    return {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "fsGroup": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Document:
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


class Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Dumper.add_representer(str, _text)
