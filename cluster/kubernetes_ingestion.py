"""Renders ingestion-job.yaml, one bulk ingestion as a KubeRay RayJob: `python -m cluster.kubernetes_ingestion`."""

from importlib.metadata import version
from pathlib import Path

import yaml

from cluster.manifest_parts import (
    NAME,
    Document,
    Dumper,
    environment_of,
    head_pod,
    labels,
    secret,
    workers,
)

MANIFEST = Path(__file__).parents[1] / "ingestion-job.yaml"
HEADER = """\
# One bulk ingestion on nodes of its own, as a KubeRay RayJob. See docs/ingestion.md.
# Made by `python -m cluster.kubernetes_ingestion` from cluster/kubernetes_ingestion.py: edit that, or the config map.
"""
CONFIG = "loquent-ingestion"
"""The config map with `source` and `chatbot`, and the secret with `api-key`."""


def ray_job() -> Document:
    """A client of the platform: it reads the source and hands its documents over; the platform's own ingest nodes parse
    and embed them. Whatever ends it, the next attempt sends only what is not there yet."""
    plain = {"LOQUENT_DATA_DIR": "/data", "LOQUENT_PLATFORM_URL": f"http://{NAME}-serve-svc:8000"}
    environment = [
        *environment_of(plain),
        {"name": "LOQUENT_API_KEY", **secret("api-key", name=CONFIG)},
        *({"name": f"LOQUENT_INGEST_{key.upper()}", **_setting(key)} for key in ("source", "chatbot")),
    ]
    group = workers("ingest", cpu="2", memory="8Gi", least=1, most=1, env=environment)
    entrypoint = 'loquent ingest "$LOQUENT_INGEST_SOURCE" --chatbot "$LOQUENT_INGEST_CHATBOT"'
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": f"{NAME}-ingestion", "labels": labels()},
        "spec": {
            "entrypoint": f'{entrypoint} --url "$LOQUENT_PLATFORM_URL" --json',
            "entrypointNumCpus": 1,
            "submissionMode": "K8sJobMode",
            "backoffLimit": 2,
            "activeDeadlineSeconds": 86_400,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 3_600,
            "rayClusterSpec": {
                "rayVersion": version("ray"),
                "headGroupSpec": {
                    "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},  # noqa: S104
                    "template": head_pod(cpu="1", memory="4Gi", env=environment),
                },
                "workerGroupSpecs": [group],
            },
        },
    }


def render() -> str:
    """The text of ingestion-job.yaml."""
    return HEADER + yaml.dump(ray_job(), Dumper=Dumper, sort_keys=False, width=120, explicit_start=True)


def _setting(key: str) -> Document:
    return {"valueFrom": {"configMapKeyRef": {"name": CONFIG, "key": key}}}


if __name__ == "__main__":
    MANIFEST.write_text(render(), "utf-8")
