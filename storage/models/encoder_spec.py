"""Which encoder makes vectors, as frozen data that may travel to another process."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from configs.settings import Settings
from storage.models.store import embedding_weights

Backend = Literal["auto", "torch", "openvino", "remote"]
REMOTE = "remote:"
"""Before the name of a model that somebody else runs, where others have a folder or a Hugging Face id."""
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    weights: str
    """A folder, a Hugging Face id, or `remote:` and the name of somebody else's model."""
    backend: Backend = "torch"
    prepared: str = ""
    """The folder with what set-up made and measured of these weights."""
    base_url: str | None = None
    api_key: SecretStr | None = None
    dimension: int | None = None
    """What a remote model is asked for; unset, what it gives."""


def embedding_model_path(settings: Settings) -> str:
    """The `weights` of the settings' encoder; chunks are measured in its tokens."""
    if settings.embedding_backend == "remote":
        return REMOTE + settings.embedding_model
    return embedding_weights(settings)


def encoder_spec(settings: Settings) -> EncoderSpec:
    """The encoder of the settings, for questions and for documents: their vectors must be of the same model."""
    weights = embedding_model_path(settings)
    if settings.embedding_backend != "remote":
        return EncoderSpec(weights, settings.embedding_backend, str(encoder_folder(settings)))
    base_url, key = settings.embedding_base_url, settings.embedding_api_key
    if base_url is None:
        # A key of ours goes to the server that it is for, and to no other.
        base_url, key = settings.openai_base_url, key or settings.openai_api_key
    return EncoderSpec(
        weights,
        "remote",
        base_url=base_url,
        api_key=key,
        dimension=settings.embedding_dimension,
    )


def encoder_folder(settings: Settings) -> Path:
    """Where set-up puts what it makes of the embedding model."""
    name = re.sub(r"[^\w.]+", "-", settings.embedding_model).strip("-")[-_LONGEST_NAME:]
    return settings.models_dir / f"embedding-{name}"
