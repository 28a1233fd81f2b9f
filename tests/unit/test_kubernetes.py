"""The manifest is what the code renders, fits KubeRay's schema, and books no more than its groups have."""

import json
import pickle
import tomllib
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import jsonschema
import pytest
import yaml
from pydantic import BaseModel, SecretStr, ValidationError
from ray.serve._private.build_app import build_app
from ray.serve.deployment import deployment_to_schema
from ray.serve.schema import ServeDeploySchema

from cluster.app import build, build_application
from cluster.kubernetes import MANIFEST, render, serve_config
from cluster.manifest_parts import IMAGE, OPTIONAL_SECRETS, REQUIRED_SECRETS
from configs.ray_environment import ray_environment
from configs.settings import Settings, master_keys_of, without_master_keys
from configs.sizing import GROUP_LABEL, DeploymentSizing, Profile, Sizing, load_sizing

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT.parent / "shared/kuberay"
PROFILES: tuple[Profile, ...] = ("local", "test", "kubernetes")


@pytest.fixture
def documents() -> dict[str, dict[str, Any]]:
    return {found["kind"]: found for found in yaml.safe_load_all(MANIFEST.read_text("utf-8"))}


@pytest.fixture
def service(documents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return documents["RayService"]


@pytest.fixture
def cluster(service: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = service["spec"]["rayClusterConfig"]
    return found


@pytest.fixture
def schema() -> dict[str, Any]:
    path = SCHEMAS / "rayservices.v1.schema.json"
    if not path.exists():
        pytest.skip(f"KubeRay's schema is not at {path}")
    found: dict[str, Any] = strict(json.loads(path.read_text("utf-8")))
    return found


def strict(node: Any) -> Any:
    """The schema with fields refused that it does not name, as the API server's strict validation does."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {key: strict(value) for key, value in node.items()}
    open_ended = "additionalProperties" in node or node.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(node.get("properties"), dict) and node.get("type") == "object" and not open_ended:
        closed["additionalProperties"] = False
    return closed


def test_manifest_is_the_one_that_the_code_renders() -> None:
    assert MANIFEST.read_text("utf-8") == render(), "run `python -m cluster.kubernetes`"


def test_service_fits_the_schema_of_kuberay(service: dict[str, Any], schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema).validate(service)


@pytest.mark.parametrize(
    "path",
    [
        ("spec",),
        ("spec", "rayClusterConfig"),
        ("spec", "rayClusterConfig", "headGroupSpec"),
        ("spec", "rayClusterConfig", "workerGroupSpecs", 0),
        ("spec", "rayClusterConfig", "workerGroupSpecs", 2, "template", "spec", "containers", 0),
    ],
)
def test_unknown_field_is_refused_anywhere(
    service: dict[str, Any], schema: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    place: Any = service
    for step in path:
        place = place[step]
    place["unheardOf"] = "x"
    with pytest.raises(jsonschema.ValidationError, match="unheardOf"):
        jsonschema.Draft202012Validator(schema).validate(service)


def test_what_is_served_is_what_the_code_builds(service: dict[str, Any]) -> None:
    served = yaml.safe_load(service["spec"]["serveConfigV2"])
    assert served == serve_config()
    checked = ServeDeploySchema.model_validate(served)
    (application,) = checked.applications
    assert (application.import_path, application.route_prefix) == ("cluster.app:build_application", "/")
    assert application.args == {"profile": "kubernetes"}
    assert "request_timeout_s" not in served["http_options"], "it would also end sockets"


def test_config_and_code_agree_on_every_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OPTIONAL_SECRETS:
        monkeypatch.delenv(name, raising=False)
    settings = Settings(
        profile="kubernetes",
        local_engine="vllm",
        database_url="postgresql://owner:x@postgres/loquent",
        redis_url="redis://redis:6379/0",
        secret_key=SecretStr("x"),
    )
    built = build_app(build(settings), name="loquent", make_deployment_handle=lambda deployment, _: MagicMock())
    in_code = {found.name: found for found in built.deployments}
    in_config = {found["name"]: found for found in serve_config()["applications"][0]["deployments"]}
    assert set(in_code) == set(in_config)
    assert built.ingress_deployment_name == "Gateway"
    for name, wanted in in_config.items():
        code = deployment_to_schema(in_code[name])
        for option, value in wanted.items():
            found = getattr(code, option)
            assert contains(found, value), f"{name}.{option}: {found} in code, {value} in config"


def test_master_keys_do_not_travel_through_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray keeps the arguments of replicas in Redis."""
    for name in OPTIONAL_SECRETS:
        monkeypatch.delenv(name, raising=False)
    key = "5a" * 32
    monkeypatch.setenv("LOQUENT_MASTER_KEYS", f"k:{key}")
    monkeypatch.setenv("LOQUENT_SECRET_KEY", "travels-" + "x" * 24)
    graph = build_application({"profile": "kubernetes", "local_engine": "vllm"})
    built = build_app(graph, name="loquent", make_deployment_handle=lambda deployment, _: MagicMock())
    settings = [one for found in built.deployments for one in found.init_args if isinstance(one, Settings)]
    arguments = [pickle.dumps(one) for one in settings]
    assert any(b"travels-" in one for one in arguments), "the search would find it"
    assert not [one for one in arguments if key.encode() in one]
    assert master_keys_of(Settings(_env_file=None)) == f"k:{key}"
    assert master_keys_of(without_master_keys(Settings(_env_file=None))) == f"k:{key}"


def contains(found: Any, wanted: Any) -> bool:
    """Whether `found` has every value of `wanted`; Ray fills in its defaults beside them."""
    if isinstance(found, BaseModel):
        found = found.model_dump()
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(contains(found.get(key), value) for key, value in wanted.items())
    return bool(found == wanted)


def test_config_names_the_variables_that_engines_need(service: dict[str, Any]) -> None:
    """Actor options of the config replace those of the code."""
    (application,) = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    engine = next(found for found in application["deployments"] if found["name"].startswith("LlmEngine-"))
    assert engine["ray_actor_options"]["runtime_env"]["env_vars"]["VLLM_NO_USAGE_STATS"] == "1"
    assert engine["ray_actor_options"]["num_gpus"] == 1


def test_name_is_short_and_image_is_of_this_version(service: dict[str, Any]) -> None:
    assert len(service["metadata"]["name"]) <= 47
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert IMAGE.rpartition(":")[2] == project["version"]


def test_head_runs_nothing_and_survives(cluster: dict[str, Any]) -> None:
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    tolerance = cluster["gcsFaultToleranceOptions"]
    assert tolerance["redisAddress"]
    assert "secretKeyRef" in tolerance["redisPassword"]["valueFrom"]
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"


def test_no_alpha_feature_and_no_refused_parameter(cluster: dict[str, Any]) -> None:
    assert not {"networkPolicy", "tlsOptions", "historyServerOptions"} & set(cluster)
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        assert "labels" not in group["rayStartParams"]


def test_groups_are_labelled_and_ingest_scales_to_zero(cluster: dict[str, Any]) -> None:
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    assert set(groups) == {"serve", "llm", "ingest"}
    assert all(group["labels"] == {GROUP_LABEL: name} for name, group in groups.items())
    assert groups["serve"]["minReplicas"] == 2
    assert (groups["ingest"]["minReplicas"], groups["ingest"]["replicas"]) == (0, 0)
    (llm,) = groups["llm"]["template"]["spec"]["containers"]
    assert llm["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_every_container_has_the_flags_and_no_secret_in_clear(cluster: dict[str, Any]) -> None:
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        for container in group["template"]["spec"]["containers"]:
            entries = {entry["name"]: entry for entry in container["env"]}
            assert len(entries) == len(container["env"])
            for name, value in ray_environment().items():
                assert entries[name]["value"] == value
            assert entries["LOQUENT_SESSION_HOSTS"]["value"] == str(load_sizing("kubernetes").session_hosts.count)
            for name in REQUIRED_SECRETS:
                assert "optional" not in entries[name]["valueFrom"]["secretKeyRef"]
            for name in OPTIONAL_SECRETS:
                assert entries[name]["valueFrom"]["secretKeyRef"]["optional"] is True
            assert {"livenessProbe", "readinessProbe", "resources"} <= set(container)


def test_pods_stop_no_earlier_than_their_replicas(cluster: dict[str, Any]) -> None:
    sizing = load_sizing("kubernetes")
    groups = {group["groupName"]: group["template"]["spec"] for group in cluster["workerGroupSpecs"]}
    for part in (sizing.gateway, sizing.router, sizing.embedder, sizing.engine, sizing.provider):
        assert part.group is not None
        assert groups[part.group]["terminationGracePeriodSeconds"] > part.graceful_shutdown_timeout_s


def test_what_is_booked_at_rest_fits_the_smallest_groups(cluster: dict[str, Any]) -> None:
    sizing = load_sizing("kubernetes")
    for group in cluster["workerGroupSpecs"]:
        (container,) = group["template"]["spec"]["containers"]
        room = group["minReplicas"] * float(container["resources"]["limits"]["cpu"])
        assert cpus_at_rest(sizing, group["groupName"]) <= room


def cpus_at_rest(sizing: Sizing, group: str) -> float:
    booked = 0.0
    for name in ("gateway", "router", "embedder", "engine", "keeper", "session_hosts", "relay", "supervisor"):
        part = getattr(sizing, name)
        count = part.least_replicas if isinstance(part, DeploymentSizing) else part.count
        booked += count * part.num_cpus if part.group == group else 0.0
    return booked


def test_migration_runs_with_the_same_image(documents: dict[str, dict[str, Any]]) -> None:
    pod = documents["Job"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["command"] == ["loquent", "migrate"]
    assert pod["containers"][0]["image"] == IMAGE
    budget = documents["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]
    assert budget == {"loquent.dev/component": "serve"}


def test_local_count_of_session_hosts_is_the_default_of_the_setting() -> None:
    assert load_sizing("local").session_hosts.count == Settings.model_fields["session_hosts"].default


def test_local_profile_leaves_a_cpu_of_two_for_ingestion() -> None:
    sizing = load_sizing("local")
    assert sizing.booked_cpus + 2 * sizing.provider.num_cpus <= 1.0


@pytest.mark.parametrize("profile", PROFILES)
def test_gateway_holds_thousands_of_sockets_and_is_never_scaled(profile: Profile) -> None:
    sizing = load_sizing(profile)
    assert sizing.gateway.max_ongoing_requests >= 1_000
    assert sizing.gateway.num_replicas is not None
    assert "request_timeout_s" not in sizing.gateway.options()


def test_wrong_sizes_are_refused() -> None:
    good = load_sizing("kubernetes").router.model_dump()
    for wrong in ({"num_replicas": 2}, {"autoscaling": None}, {"num_cpus": -1}, {"unheard_of": 1}):
        with pytest.raises(ValidationError):
            DeploymentSizing.model_validate(good | wrong)
    rows = load_sizing("local").model_dump()
    rows["gateway"] |= {"num_replicas": None, "autoscaling": {"min_replicas": 1, "max_replicas": 2}}
    with pytest.raises(ValidationError):
        Sizing.model_validate(rows)
