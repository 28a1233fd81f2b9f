"""What set-up measured of the encoders on a processor, and which of them is taken: the fastest that finds the same."""

import hashlib
import platform
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

CHOICE = "encoder.json"
FORMAT = 2
"""Raised when the preparation changes, so that it happens again."""
LEAST_COSINE = 0.99
"""Of every single text's vector with the one that torch computes in float32."""
LEAST_RECALL = 0.99
"""Of the ten passages that float32 finds for a question, with questions and passages encoded by either."""
CPU_INFO = Path("/proc/cpuinfo")
_TELLING = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimddp",
    "bf16",
    "i8mm",
)
_SAMPLES, _SAMPLE_BYTES = 16, 65_536

EncoderBackend = Literal["torch", "openvino"]
Precision = Literal["float32", "bfloat16", "int8"]


class Trial(BaseModel):
    """One encoder against torch in float32, on texts that are built in."""

    model_config = ConfigDict(frozen=True)

    backend: EncoderBackend
    precision: Precision
    cosine: float = 0.0
    """The least of all texts."""
    recall: float = 0.0
    texts_per_second: float = 0.0
    problem: str = ""
    """Why it could not be tried."""

    @property
    def passes(self) -> bool:
        return not self.problem and self.cosine >= LEAST_COSINE and self.recall >= LEAST_RECALL

    @property
    def name(self) -> str:
        return f"{self.backend} {self.precision}"


class Choice(BaseModel):
    """All that was tried; `fingerprint` says of which weights and `processor` where."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    fingerprint: str
    processor: str
    trials: tuple[Trial, ...]
    max_tokens: int = 0
    dimension: int = 0
    prompt: str = ""
    files: dict[str, int] = {}
    """Sizes of the files beside this one, which stand for their being complete."""

    def best(self, backend: EncoderBackend | None = None, *, here: str | None = None) -> Trial:
        """The fastest that passes, of one backend if it is named. On another processor than the one that was
        measured the figures do not count, but what the processor can do.

        torch always passes: it is what the others are compared with. Where nothing of `backend` passes it is returned.
        """
        able = processor() if here is None else here
        found = [one for one in self.trials if one.passes and one.backend == (backend or one.backend)]
        if self.processor != able:
            return max(found, key=lambda one: _expected(one, able), default=_TORCH)
        return max(found, key=lambda one: one.texts_per_second, default=_TORCH)


_TORCH = Trial(backend="torch", precision="float32", cosine=1.0, recall=1.0)


def load_choice(folder: str | Path) -> Choice | None:
    """What set-up left in `folder`; None when there is nothing, or something that is not complete."""
    try:
        choice = Choice.model_validate_json((Path(folder) / CHOICE).read_bytes())
        complete = all((Path(folder) / name).stat().st_size == size for name, size in choice.files.items())
    except (OSError, ValidationError):
        return None
    return choice if complete and choice.format == FORMAT else None


@cache
def processor() -> str:
    """The processor's name and what of it decides how fast models run."""
    if not CPU_INFO.exists():
        return f"{platform.machine()} {platform.processor()}".strip()
    fields: dict[str, str] = {}
    for line in CPU_INFO.read_text("utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    name = fields.get("model name") or fields.get("CPU part") or platform.machine()
    return " ".join([name, *(flag for flag in _TELLING if flag in flags)])


def has_bfloat16(able: str) -> bool:
    """Whether a processor multiplies bfloat16 itself."""
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(able.split()))


def has_int8_products(able: str) -> bool:
    return bool({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"} & set(able.split()))


def _expected(trial: Trial, able: str) -> int:
    """A rank by what the processor can do, for one that was not measured."""
    native = {
        "float32": True,
        "bfloat16": has_bfloat16(able),
        "int8": has_int8_products(able) and not has_bfloat16(able),
    }[trial.precision]
    order = [("torch", "float32"), ("torch", "bfloat16"), ("openvino", "float32"), ("openvino", "int8")]
    rank = order.index((trial.backend, trial.precision)) if (trial.backend, trial.precision) in order else len(order)
    return rank if native else -1


def fingerprint_of(weights: str) -> str:
    """Stands for the weights and for what reads them: for a folder its files, for a Hugging Face id its name."""
    from importlib.metadata import PackageNotFoundError, version

    folder = Path(weights)
    digest = hashlib.sha256(b"" if folder.is_dir() else weights.encode())
    for package in ("openvino", "torch", "transformers", "sentence-transformers"):
        try:
            digest.update(f"\0{package} {version(package)}".encode())
        except PackageNotFoundError:
            digest.update(f"\0no {package}".encode())
    for file in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if file.suffix in (".json", ".txt", ".safetensors", ".bin", ".model") and file.is_file():
            digest.update(f"\0{file.relative_to(folder)} {file.stat().st_size}\0".encode())
            _sample(file, digest)
    return digest.hexdigest()


def _sample(file: Path, digest: "hashlib._Hash") -> None:
    """Small files whole, of large ones pieces over their length: weights that differ do so everywhere."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        if size <= _SAMPLES * _SAMPLE_BYTES:
            digest.update(stream.read())
            return
        for number in range(_SAMPLES):
            stream.seek(number * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
            digest.update(stream.read(_SAMPLE_BYTES))
