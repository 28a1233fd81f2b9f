"""Renders ray-cluster.yaml, the whole platform on Kubernetes, from the code: `python -m cluster.kubernetes`."""

from importlib.metadata import version
from pathlib import Path

import yaml

from cluster.manifest_parts import (
    IMAGE,
    NAME,
    PORT,
    REDIS_ADDRESS,
    Document,
    Dumper,
    container_security,
    environment,
    head_pod,
    labels,
    pod_security,
    resources,
    secret,
    workers,
)
from configs.engine_environment import engine_environment
from configs.settings import Settings
from configs.sizing import engine_deployment, load_sizing
from configs.tables import load_models
from deployments.llm.catalog import needs_no_network

MANIFEST = Path(__file__).parents[1] / "ray-cluster.yaml"
HEADER = """\
# The whole platform on Kubernetes: migration, KubeRay RayService, disruption budget. See docs/kubernetes.md.
# Made by `python -m cluster.kubernetes` from configs/sizing.yaml and cluster/kubernetes.py: edit those.
"""


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
            "resources": resources("500m", "1Gi"),
        },
        # The cluster's own state outlives its head: open sockets and answers go on while it restarts.
        "gcsFaultToleranceOptions": {"redisAddress": REDIS_ADDRESS, "redisPassword": secret("redis-password")},
        "authOptions": {"mode": "token"},
        "headGroupSpec": {
            # No CPUs: nothing of ours may run where the cluster's state is kept.
            "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},  # noqa: S104
            "template": head_pod(),
        },
        "workerGroupSpecs": [
            workers("serve", cpu="4", memory="16Gi", least=2, most=8),
            workers("llm", cpu="8", memory="32Gi", least=1, most=4, gpus=1),
            workers("ingest", cpu="4", memory="12Gi", least=0, most=8),
        ],
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": NAME, "labels": labels()},
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
        "env": environment({}),
        "resources": resources("500m", "1Gi"),
        "securityContext": container_security(),
    }
    pod = {"restartPolicy": "Never", "securityContext": pod_security(), "containers": [container]}
    tag = IMAGE.rpartition(":")[2].replace(".", "-")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{NAME}-migrate-{tag}", "labels": labels()},
        "spec": {"backoffLimit": 6, "ttlSecondsAfterFinished": 86_400, "template": {"spec": pod}},
    }


def disruption_budget() -> Document:
    """Draining machines takes one node with sockets at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": f"{NAME}-serve", "labels": labels()},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels("serve")}},
    }


def render() -> str:
    """The text of ray-cluster.yaml."""
    documents = [migration_job(), ray_service(), disruption_budget()]
    text = yaml.dump_all(documents, Dumper=Dumper, sort_keys=False, width=120, explicit_start=True)
    return HEADER + text


if __name__ == "__main__":
    MANIFEST.write_text(render(), "utf-8")
