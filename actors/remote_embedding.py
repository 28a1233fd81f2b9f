"""Counts what is embedded by somebody else's API, which asks money for it; models of our own cost nothing."""

from collections.abc import Callable, Iterable

from configs.settings import Settings
from domain.generation import Usage
from domain.metering import CallKind, ModelCall
from storage.models.embedding import embedding_token_count
from storage.models.encoder_spec import embedding_model_path


class RemoteEmbedding:
    def __init__(self, model: str, count: Callable[[str], int]) -> None:
        self._model = model
        self._count = count

    @classmethod
    def of(cls, settings: Settings) -> "RemoteEmbedding | None":
        """None when the platform's embedding models run here."""
        if settings.embedding_backend != "remote":
            return None
        return cls(settings.embedding_model, embedding_token_count(embedding_model_path(settings)))

    def call(self, texts: Iterable[str], model: str = "") -> ModelCall:
        """Without a price; `model` is the settings' own when it is not said. Tokens are estimated, too many rather than
        too few."""
        tokens = sum(self._count(text) for text in texts)
        return ModelCall(CallKind.EMBEDDING, "", model or self._model, Usage(embedded_tokens=tokens))
