"""Renders ray-cluster.yaml, the whole platform on Kubernetes, from the code: `python -m cluster.kubernetes`."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from configs.engine_environment import engine_environment
from configs.ray_environment import ray_environment
from configs.settings import Settings
from configs.sizing import GROUP_LABEL, engine_deployment, load_sizing
from configs.tables import load_models
from deployments.llm.catalog import needs_no_network

MANIFEST = Path(__file__).parents[1] / "ray-cluster.yaml"
NAME = "loquent"
IMAGE = "registry.example.com/loquent:0.1.0"
SECRET = "loquent"  # noqa: S105  # the name of the Kubernetes Secret
REDIS_ADDRESS = "redis:6379"
PORT = 8000
RAYLET_PORT, DASHBOARD_PORT = 52365, 8265
HEADER = """\
# The whole platform on Kubernetes: migration, KubeRay RayService, disruption budget. See docs/kubernetes.md.
# Made by `python -m cluster.kubernetes` from configs/sizing.yaml and cluster/kubernetes.py: edit those.
"""

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


def serve_config() -> Document:
    """What the cluster serves, with the sizes of the `kubernetes` profile; checked by Ray Serve's own schema."""
    from ray.serve.schema import ServeDeploySchema

    sizing = load_sizing("kubernetes")
    models = load_models()
    default = Settings.model_fields["default_model"].default
    engine = models.models[default].engines[0]
    spec = models.engines[engine]
    deployments: dict[str, Document] = {
        "Gateway": sizing.gateway.options(),
        "LlmRouter": sizing.router.options(),
        "Embedder": sizing.embedder.options(),
        "Keeper": sizing.keeper.options(),
        engine_deployment(engine): sizing.engine_of(spec).options(
            engine_environment(spec, offline=needs_no_network(models, engine))
        ),
    }
    config: Document = {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": PORT},  # noqa: S104
        "applications": [
            {
                "name": NAME,
                "import_path": "cluster.app:build_application",
                "route_prefix": "/",
                "args": {"profile": "kubernetes"},
                "deployments": [{"name": name, **options} for name, options in deployments.items()],
            }
        ],
    }
    ServeDeploySchema.model_validate(config)
    return config


def ray_service() -> Document:
    cluster: Document = {
        "rayVersion": version("ray"),
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {
            "version": "v2",
            "upscalingMode": "Default",
            "idleTimeoutSeconds": 300,
            "resources": _resources("500m", "1Gi"),
        },
        # The cluster's own state outlives its head: open sockets and answers go on while it restarts.
        "gcsFaultToleranceOptions": {"redisAddress": REDIS_ADDRESS, "redisPassword": _secret("redis-password")},
        "authOptions": {"mode": "token"},
        "headGroupSpec": {
            # No CPUs: nothing of ours may run where the cluster's state is kept.
            "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},  # noqa: S104
            "template": _head_pod(),
        },
        "workerGroupSpecs": [
            _workers("serve", cpu="4", memory="16Gi", least=2, most=8),
            _workers("llm", cpu="8", memory="32Gi", least=1, most=4, gpus=1),
            _workers("ingest", cpu="4", memory="12Gi", least=0, most=8),
        ],
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": NAME, "labels": _labels()},
        "spec": {
            # A new version runs beside the old one, which keeps its sockets for these five minutes.
            "upgradeStrategy": {"type": "NewCluster"},
            "rayClusterDeletionDelaySeconds": 300,
            "excludeHeadPodFromServeSvc": True,
            "serveConfigV2": yaml.safe_dump(serve_config(), sort_keys=False, width=120),
            "rayClusterConfig": cluster,
        },
    }


def migration_job() -> Document:
    container = {
        "name": "migrate",
        "image": IMAGE,
        "command": ["loquent", "migrate"],
        "env": _environment({}),
        "resources": _resources("500m", "1Gi"),
        "securityContext": _container_security(),
    }
    pod = {"restartPolicy": "Never", "securityContext": _pod_security(), "containers": [container]}
    tag = IMAGE.rpartition(":")[2].replace(".", "-")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{NAME}-migrate-{tag}", "labels": _labels()},
        "spec": {"backoffLimit": 6, "ttlSecondsAfterFinished": 86_400, "template": {"spec": pod}},
    }


def disruption_budget() -> Document:
    """Draining machines takes one node with sockets at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": f"{NAME}-serve", "labels": _labels()},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _labels("serve")}},
    }


def render() -> str:
    """The text of ray-cluster.yaml."""
    documents = [migration_job(), ray_service(), disruption_budget()]
    text = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=120, explicit_start=True)
    return HEADER + text


def _head_pod() -> Document:
    ports = {"gcs-server": 6379, "dashboard": DASHBOARD_PORT, "client": 10001, "serve": PORT}
    container = _ray_container("ray-head", "2", "8Gi") | {
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        "livenessProbe": _probe(RAYLET_PORT, "/api/local_raylet_healthz", failures=120),
        "readinessProbe": _probe(DASHBOARD_PORT, "/api/gcs_healthz", failures=10),
    }
    return _pod("head", container, grace_seconds=60)


def _workers(group: str, *, cpu: str, memory: str, least: int, most: int, gpus: int = 0) -> Document:
    """Workers of the ingest group serve nothing: they are ready with their raylet, the others with their proxy."""
    serves = group != "ingest"
    ready = (PORT, "/-/healthz") if serves else (RAYLET_PORT, "/api/local_raylet_healthz")
    container = _ray_container("ray-worker", cpu, memory, gpus) | {
        "ports": [{"name": "serve", "containerPort": PORT}],
        "livenessProbe": _probe(RAYLET_PORT, "/api/local_raylet_healthz", failures=120),
        "readinessProbe": _probe(*ready, failures=2 if serves else 10),
    }
    pod = _pod(group, container, grace_seconds=180 if serves else 60)
    if gpus:
        pod["spec"]["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    if least > 1:
        pod["spec"]["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _labels(group)},
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


def _pod(component: str, container: Document, *, grace_seconds: int) -> Document:
    return {
        "metadata": {"labels": _labels(component)},
        "spec": {
            # Autoscaler v2: a pod is one Ray node and never comes back as another.
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": grace_seconds,
            "securityContext": _pod_security(),
            "containers": [container],
            "volumes": [{"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "4Gi"}}],
        },
    }


def _ray_container(name: str, cpu: str, memory: str, gpus: int = 0) -> Document:
    return {
        "name": name,
        "image": IMAGE,
        "env": _environment(ray_environment()),
        "envFrom": [{"configMapRef": {"name": NAME, "optional": True}}],
        "resources": _resources(cpu, memory, gpus),
        "securityContext": _container_security(),
        "volumeMounts": [{"name": "shared-memory", "mountPath": "/dev/shm"}],  # noqa: S108
    }


def _environment(flags: dict[str, str]) -> list[Document]:
    plain = {
        "LOQUENT_PROFILE": "kubernetes",
        "LOQUENT_DATA_DIR": "/data",
        "LOQUENT_LOCAL_ENGINE": "vllm",
        "LOQUENT_SESSION_HOSTS": str(load_sizing("kubernetes").session_hosts.count),
        **flags,
    }
    return [
        *({"name": name, "value": value} for name, value in plain.items()),
        *({"name": name, **_secret(key)} for name, key in REQUIRED_SECRETS.items()),
        *({"name": name, **_secret(key, optional=True)} for name, key in OPTIONAL_SECRETS.items()),
    ]


def _secret(key: str, *, optional: bool = False) -> Document:
    reference: Document = {"name": SECRET, "key": key} | ({"optional": True} if optional else {})
    return {"valueFrom": {"secretKeyRef": reference}}


def _resources(cpu: str, memory: str, gpus: int = 0) -> Document:
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


def _labels(component: str | None = None) -> dict[str, str]:
    """KubeRay writes the `app.kubernetes.io` labels of pods itself: what we select by has a name of ours."""
    if component is None:
        return {"app.kubernetes.io/name": NAME}
    return {"loquent.dev/component": component}


def _pod_security() -> Document:
    return {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "fsGroup": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _container_security() -> Document:
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)

if __name__ == "__main__":
    MANIFEST.write_text(render(), "utf-8")
