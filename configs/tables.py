"""Readers of the YAML tables: plans, models and moderation rules, validated into frozen models."""

from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from configs.engine_options import OPTIONS
from domain.difficulty import THRESHOLD
from domain.errors import InvalidInput
from domain.metering import CallKind, ModelCall
from domain.plans import Plan
from domain.prices import PARTS, PerToken, Price, ceiled

HERE = Path(__file__).parent
FREE = Price(prompt=Decimal(0), completion=Decimal(0))


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EngineSpec(Table):
    kind: Literal["vllm", "llamacpp", "openai", "azure", "anthropic", "scripted"]
    options: dict[str, Any] = {}
    """What the engine takes beside the model, see `configs.engine_options`."""
    max_running: int = Field(32, ge=1, le=4_096)
    """Generations at the same time per replica."""
    max_queued: int = Field(128, ge=0)
    """Generations that may wait for a place; one more is refused as rate limited."""
    queue_seconds: float = Field(30.0, gt=0, le=600)
    """How long one may wait for it."""
    first_token_seconds: float | None = Field(None, gt=0, le=600)
    """How long it may then say nothing before another engine is tried: 30 at a provider, 120 for weights of our own."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        try:
            OPTIONS[self.kind].model_validate(self.options)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"the option {name!r} of a {self.kind} engine: {first['msg']}") from None
        return self

    @property
    def local(self) -> bool:
        """Whether the engine runs weights of its own, and so one base model per replica."""
        return self.kind in ("vllm", "llamacpp")

    @property
    def paid(self) -> bool:
        """Whether somebody else runs it, and may ask money for it."""
        return self.kind in ("openai", "azure", "anthropic")

    @property
    def patience_seconds(self) -> float:
        return self.first_token_seconds or (120.0 if self.local else 30.0)


class ModelSpec(Table):
    engines: tuple[str, ...]
    """Names of engines that serve it, in order of preference."""
    weights: str | None = None
    """A prepared name under `Settings.models_dir`, a path, or a Hugging Face id; None for providers."""
    adapter: str | None = Field(None, min_length=1, max_length=1_000)
    """A LoRA adapter over the weights, for vLLM only: a folder in PEFT's format, or its name under
    `Settings.models_dir`. Models of the same weights share an engine, each with its adapter or none."""
    provider_model: str | None = None
    """The provider's own name of the model, where it differs from ours."""
    sends_temperature: bool | None = None
    """Whether a provider's model takes a temperature; when unset, OpenAI's protocol sends it and Anthropic's not."""
    context_tokens: int = Field(ge=256)
    tokens_per_message: int = Field(4, ge=0)
    """What the chat template adds around each message."""
    hedge_after_ms: int | None = Field(None, ge=1, le=60_000)
    """When a second replica or engine is asked as well because the first says nothing yet; unset: never."""
    price_micro_per_token: Price | None = None
    """In millionths of the currency unit per token; unset, it costs nothing, which a provider's model has to say."""

    @property
    def price(self) -> Price:
        return self.price_micro_per_token or FREE


class RouteSpec(Table):
    """A name that stands for several models: each question goes to one by its difficulty, and to others when that is
    away."""

    simple: str
    """The model for easy questions."""
    hard: str
    """The model for hard ones."""
    others: tuple[str, ...] = ()
    """Models that are asked when neither can answer."""
    threshold: float = Field(THRESHOLD, ge=0, le=1)
    """From this difficulty on a question is a hard one, see `domain.difficulty`."""
    hard_plans: tuple[str, ...] | None = None
    """The plans whose questions may go to `hard`; those of all when unset."""
    hedge_after_ms: int | None = Field(None, ge=1, le=60_000)
    """When a second engine is asked as well because the first says nothing yet; unset: that of the model."""

    @property
    def models(self) -> tuple[str, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys((self.simple, self.hard, *self.others)))


class EmbeddingPrice(Table):
    """What embedding costs; nothing on one's own machine."""

    price_micro_per_token: PerToken = Decimal(0)
    currency: str = "usd"

    def cost_micro(self, tokens: int) -> int:
        """Cost in whole micro-units, rounded up."""
        return ceiled(tokens * self.highest)

    @property
    def highest(self) -> int:
        """What a million tokens cost, in micro-units."""
        return int(self.price_micro_per_token * PARTS)


class ModelTable(Table):
    engines: dict[str, EngineSpec]
    models: dict[str, ModelSpec]
    routes: dict[str, RouteSpec] = {}
    """Names that a bot can use as it uses a model's."""
    embeddings: dict[str, EmbeddingPrice] = {}
    """By the name of the setting `embedding_model`, or of the provider's own; others cost nothing."""
    cache_hit_micro: int = Field(0, ge=0, le=1_000_000_000)
    """What an answer that was kept from before costs, in millionths of the currency unit."""

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        for key, model in self.models.items():
            for name in model.engines:
                if name not in self.engines:
                    raise ValueError(f"model {key!r} names the engine {name!r}, which does not exist")
                if self.engines[name].local and model.weights is None:
                    raise ValueError(f"model {key!r} needs weights for the engine {name!r}")
                if model.adapter is not None and self.engines[name].kind != "vllm":
                    raise ValueError(f"model {key!r} has an adapter, which only vLLM can load, not {name!r}")
                if self.engines[name].paid and model.price_micro_per_token is None:
                    raise ValueError(
                        f"model {key!r} needs price_micro_per_token, because the engine {name!r} is a provider; "
                        "write 0 for a server of your own"
                    )
        for name, route in self.routes.items():
            if name in self.models or name == "default":
                raise ValueError(f"route {name!r} has the name of a model")
            if absent := [key for key in route.models if key not in self.models]:
                raise ValueError(f"route {name!r} names the model {absent[0]!r}, which does not exist")
        for name, engine in self.engines.items():
            loads = {(spec.weights, spec.context_tokens) for spec in self.models_of(name).values()}
            if engine.local and len(loads) > 1:
                raise ValueError(f"engine {name!r} loads one model, but models of different weights name it")
        return self

    def models_of(self, engine: str) -> dict[str, ModelSpec]:
        """The models that an engine serves, by key, in the order of the file."""
        return {key: spec for key, spec in self.models.items() if engine in spec.engines}

    def embedding_price(self, name: str) -> EmbeddingPrice:
        return self.embeddings.get(name, EmbeddingPrice())

    def priced(self, call: ModelCall) -> ModelCall:
        """The same with its cost, when it has none yet; a model that is not here any more costs as the dearest."""
        if call.cost_micro:
            return call
        if call.kind is CallKind.CACHE:
            cost = self.cache_hit_micro
        elif call.kind is CallKind.EMBEDDING:
            cost = self.embedding_price(call.model).cost_micro(call.usage.embedded_tokens)
        else:
            cost = self._price_of(call.model).cost_micro(call.usage)
        return replace(call, cost_micro=cost) if cost else call

    def highest_price(self, model: str) -> int:
        """The most that a million tokens of the model can cost, in micro-units."""
        return self._price_of(model).highest

    def _price_of(self, name: str) -> Price:
        """The dearest behind the name; of all models where it is not known."""
        route = self.routes.get(name)
        keys = route.models if route else (name,) if name in self.models else tuple(self.models)
        return max((self.models[key].price for key in keys), key=lambda price: price.highest, default=FREE)

    def models_behind(self, name: str) -> dict[str, ModelSpec]:
        """The models that a model's or a route's name stands for. Raises InvalidInput for an unknown name."""
        route = self.routes.get(name)
        return {key: self.model(key) for key in (route.models if route else (name,))}

    def window(self, name: str) -> tuple[int, int]:
        """The context, and what the template adds per message, that every model behind the name can do with."""
        specs = self.models_behind(name).values()
        return min(spec.context_tokens for spec in specs), max(spec.tokens_per_message for spec in specs)

    def model(self, key: str) -> ModelSpec:
        """Raise InvalidInput for a name that the table does not have."""
        if key not in self.models:
            raise InvalidInput(f"There is no model named {key!r}.")
        return self.models[key]


class ModerationRule(Table):
    name: str
    pattern: str
    """A regular expression, matched case-insensitively."""
    refusal: str


@cache
def load_models(path: Path | None = None) -> ModelTable:
    return ModelTable.model_validate(yaml.safe_load((path or HERE / "models.yaml").read_text("utf-8")))


@cache
def load_plans() -> dict[str, Plan]:
    """Plans by key, in the order of the file; the first is the free one."""
    rows = yaml.safe_load((HERE / "plans.yaml").read_text("utf-8"))["plans"]
    return {row["key"]: Plan.model_validate(row) for row in rows}


@cache
def load_moderation() -> tuple[ModerationRule, ...]:
    rows = yaml.safe_load((HERE / "moderation.yaml").read_text("utf-8"))["rules"]
    return tuple(ModerationRule.model_validate(row) for row in rows)
