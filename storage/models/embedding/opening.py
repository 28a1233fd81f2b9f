"""The door to encoders: opens the one that a spec asks for."""

from pathlib import Path

import structlog

from storage.models.embedding.port import TextEncoder
from storage.models.encoder_choice import Choice, Trial, load_choice
from storage.models.encoder_spec import EncoderSpec

log = structlog.get_logger(__name__)

GPU_DRIVER = Path("/dev/nvidiactl")


def open_encoder(spec: EncoderSpec, *, threads: int, bulk: bool = False) -> TextEncoder:
    """The encoder of `spec`, its weights in memory. `threads` bounds its own threads.

    `bulk` is for many texts at a time: as much as possible per second, however long one of them takes.
    """
    if spec.backend == "remote":
        from storage.models.embedding.remote import RemoteEncoder

        return RemoteEncoder(spec, patient=bulk)
    choice = None if spec.backend == "torch" and not spec.prepared else load_choice(spec.prepared)
    trial = _trial(spec, choice)
    if choice is not None and trial.backend == "openvino":
        try:
            from storage.models.embedding.openvino import OpenVinoEncoder

            return OpenVinoEncoder(Path(spec.prepared), choice, trial.precision, threads=threads, bulk=bulk)
        except Exception as error:  # noqa: BLE001 - whatever it is, torch makes the same vectors
            log.warning("encoder_not_opened", backend=trial.name, error=repr(error))
    from storage.models.embedding.sentence_transformer import EmbeddingModel

    precision = trial.precision if trial.backend == "torch" and choice is not None else None
    return EmbeddingModel(spec.weights, threads=threads, precision=precision)


def _trial(spec: EncoderSpec, choice: Choice | None) -> Trial:
    torch = Trial(backend="torch", precision="float32")
    if choice is None or (spec.backend == "auto" and _has_gpu()):
        return torch
    return choice.best(None if spec.backend == "auto" else "torch" if spec.backend == "torch" else "openvino")


def _has_gpu() -> bool:
    """Whether torch has a GPU here; it is imported for the answer only where there is a driver."""
    if not GPU_DRIVER.exists():
        return False
    import torch

    return bool(torch.cuda.is_available())
