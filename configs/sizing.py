"""How many of each part and what each may take: the profiles of sizing.yaml as frozen models."""

import re
from functools import cache
from hashlib import sha256
from typing import Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from configs.tables import HERE, EngineSpec, Table

GENERATIONS_POLICY = "deployments.llm.scaling:replicas_for_generations"
"""Where Serve finds what scales engines."""
Profile = Literal["local", "kubernetes", "test"]
GROUP_LABEL = "loquent.dev/group"
"""The node label that names a worker group; `ray-cluster.yaml` sets it on the groups."""


class Placed(Table):
    group: str | None = None
    """The worker group to run in; anywhere when unset."""

    @property
    def label_selector(self) -> dict[str, str]:
        """For Ray's option of the same name; empty when the place does not matter."""
        return {GROUP_LABEL: self.group} if self.group else {}


class Autoscaling(Table):
    min_replicas: int = Field(ge=1)
    max_replicas: int = Field(ge=1)
    target_ongoing_requests: float = Field(gt=0)
    upscale_delay_s: float = Field(10, ge=0)
    downscale_delay_s: float = Field(300, ge=0)
    counts: Literal["requests", "generations"] = "requests"
    """What `target_ongoing_requests` is of: Serve's own requests, or the generations that an engine reports."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_replicas < self.min_replicas:
            raise ValueError("max_replicas is less than min_replicas")
        return self

    def options(self) -> dict[str, Any]:
        """The fields of Serve's `AutoscalingConfig`."""
        fields = self.model_dump(exclude={"counts"})
        if self.counts == "generations":
            fields["policy"] = {"policy_function": GENERATIONS_POLICY}
        return fields


class DeploymentSizing(Placed):
    num_replicas: int | None = Field(None, ge=1)
    autoscaling: Autoscaling | None = None
    num_cpus: float = Field(ge=0)
    num_gpus: float = Field(0, ge=0)
    max_ongoing_requests: int = Field(ge=1)
    graceful_shutdown_timeout_s: float = Field(ge=0)
    health_check_period_s: float = Field(1, gt=0)
    health_check_timeout_s: float = Field(30, gt=0)
    max_replicas_per_node: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.num_replicas is None) == (self.autoscaling is None):
            raise ValueError("give either num_replicas or autoscaling")
        return self

    @property
    def least_replicas(self) -> int:
        if self.autoscaling is not None:
            return self.autoscaling.min_replicas
        assert self.num_replicas is not None
        return self.num_replicas

    def options(self, environment: dict[str, str] | None = None) -> dict[str, Any]:
        """Keyword arguments of `serve.deployment`, and the same fields of a deployment in a Serve config file.

        `environment` holds variables for the replicas' processes. A config file's actor options replace the code's
        as a whole, so that both must name them.
        """
        actor: dict[str, Any] = {"num_cpus": self.num_cpus}
        if environment:
            actor["runtime_env"] = {"env_vars": dict(environment)}
        if self.num_gpus:
            actor["num_gpus"] = self.num_gpus
        if self.group:
            actor["label_selector"] = self.label_selector
        options: dict[str, Any] = {
            "max_ongoing_requests": self.max_ongoing_requests,
            "graceful_shutdown_timeout_s": self.graceful_shutdown_timeout_s,
            "health_check_period_s": self.health_check_period_s,
            "health_check_timeout_s": self.health_check_timeout_s,
            "ray_actor_options": actor,
        }
        if self.autoscaling is not None:
            options["autoscaling_config"] = self.autoscaling.options()
        else:
            options["num_replicas"] = self.num_replicas
        if self.max_replicas_per_node is not None:
            options["max_replicas_per_node"] = self.max_replicas_per_node
        return options


class ActorSizing(Placed):
    count: int = Field(ge=1)
    num_cpus: float = Field(ge=0)

    def options(self) -> dict[str, Any]:
        """Keyword arguments of an actor class's `options`."""
        options: dict[str, Any] = {"num_cpus": self.num_cpus}
        if self.group:
            options["label_selector"] = self.label_selector
        return options


class Sizing(Table):
    gateway: DeploymentSizing
    router: DeploymentSizing
    embedder: DeploymentSizing
    reranker: DeploymentSizing
    """Runs where `Settings.reranker_model` names a model."""
    engine: DeploymentSizing
    """An engine that runs a model itself."""
    provider: DeploymentSizing
    """An engine that calls somebody else's over HTTP, or plays a script."""
    keeper: DeploymentSizing
    """Keeps the actors below alive."""
    session_hosts: ActorSizing
    """`count` is the default of the profile; `Settings.session_hosts` is what counts."""
    relay: ActorSizing
    supervisor: ActorSizing
    ingest: Placed
    """Where Ray Data runs its tasks."""
    evaluation: ActorSizing
    """Evaluations that run at once, and what each books while it does."""

    @model_validator(mode="after")
    def _fixed_gateway(self) -> Self:
        if self.gateway.autoscaling is not None:
            raise ValueError("the gateway has a fixed number of replicas: scaling it closes sockets")
        return self

    def engine_of(self, spec: EngineSpec) -> DeploymentSizing:
        return self.engine if spec.kind in ("vllm", "llamacpp") else self.provider

    @property
    def booked_cpus(self) -> float:
        """CPUs that are booked while nothing happens, with one engine that runs its model."""
        deployments = (self.gateway, self.router, self.embedder, self.engine, self.keeper)
        actors = (self.session_hosts, self.relay, self.supervisor)
        return sum(part.least_replicas * part.num_cpus for part in deployments) + sum(
            part.count * part.num_cpus for part in actors
        )


@cache
def load_sizing(profile: Profile) -> Sizing:
    rows = yaml.safe_load((HERE / "sizing.yaml").read_text("utf-8"))
    return Sizing.model_validate(rows[profile])


def embedder_deployment(model: str, usual: str) -> str:
    """Name of the Serve deployment that embeds questions with `model`; `usual` is the platform's own model."""
    if model == usual:
        return "Embedder"
    name = re.sub(r"[^A-Za-z0-9]+", "-", model).strip("-")[-40:]
    return f"Embedder-{name}-{sha256(model.encode()).hexdigest()[:8]}"


def engine_deployment(engine: str) -> str:
    """Name of the Serve deployment of an engine of configs/models.yaml."""
    return f"LlmEngine-{engine}"
