"""The manifest of a bulk ingestion is what the code renders, fits KubeRay's schema, and is a client that may repeat."""

import json
from typing import Any

import jsonschema
import pytest
import yaml

from cluster import kubernetes_ingestion
from configs.sizing import GROUP_LABEL
from tests.unit.test_kubernetes import SCHEMAS, strict


@pytest.fixture
def ingestion() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(kubernetes_ingestion.MANIFEST.read_text("utf-8"))
    return found


def test_the_manifest_of_ingestion_is_the_one_that_the_code_renders() -> None:
    rendered = kubernetes_ingestion.render()
    assert kubernetes_ingestion.MANIFEST.read_text("utf-8") == rendered, "run `python -m cluster.kubernetes_ingestion`"


def test_the_ingestion_job_fits_the_schema_of_kuberay(ingestion: dict[str, Any]) -> None:
    path = SCHEMAS / "rayjobs.v1.schema.json"
    if not path.exists():
        pytest.skip(f"KubeRay's schema is not at {path}")
    schema = strict(json.loads(path.read_text("utf-8")))
    jsonschema.Draft202012Validator(schema).validate(ingestion)
    ingestion["spec"]["unheardOf"] = "x"
    with pytest.raises(jsonschema.ValidationError, match="unheardOf"):
        jsonschema.Draft202012Validator(schema).validate(ingestion)


def test_the_ingestion_job_runs_on_a_worker_of_its_group_and_may_be_repeated(ingestion: dict[str, Any]) -> None:
    spec = ingestion["spec"]
    [group] = spec["rayClusterSpec"]["workerGroupSpecs"]
    assert group["labels"] == {GROUP_LABEL: "ingest"}
    assert spec["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert spec["entrypointNumCpus"] == 1, "so that it runs where there are CPUs"
    assert spec["entrypoint"].startswith("loquent ingest ")
    assert spec["shutdownAfterJobFinishes"]
    assert spec["backoffLimit"] > 0
    [container] = group["template"]["spec"]["containers"]
    entries = {entry["name"]: entry for entry in container["env"]}
    assert "secretKeyRef" in entries["LOQUENT_API_KEY"]["valueFrom"]
    assert not {"DATABASE_URL", "LOQUENT_MASTER_KEYS", "LOQUENT_SECRET_KEY"} & set(entries), "it is a client"
