"""The embedding model of somebody else, behind an API with OpenAI's `/embeddings`, through the official SDK."""

from typing import TYPE_CHECKING

import numpy as np

from domain.errors import EngineFailed
from storage.models.embedding.port import Vectors, unit
from storage.models.encoder_spec import REMOTE, EncoderSpec
from storage.models.provider_errors import provider_error

if TYPE_CHECKING:
    from openai import OpenAI

BATCH_TEXTS = 64
LONGEST_TEXT = 24_000
"""Characters; APIs refuse what is beyond their window instead of cutting it off."""
CONNECT_SECONDS = 5.0
READ_SECONDS, PATIENT_READ_SECONDS = 15.0, 60.0
RETRIES, PATIENT_RETRIES = 1, 6
WRONG_ANSWER = "The model provider answered with something else than vectors."
WRONG_LENGTH = "The model provider's vectors have another length than LOQUENT_EMBEDDING_DIMENSION says."


class RemoteEncoder:
    """A client of the API. Not for use by several threads at once."""

    def __init__(self, spec: EncoderSpec, *, patient: bool) -> None:
        """`patient` waits and repeats for minutes, as the provider asks for: nobody waits for a document's chunks."""
        self._spec = spec
        self._patient = patient
        self._client: OpenAI | None = None
        self.dimension = spec.dimension or 0
        """0 until the first answer has told it."""

    def encode(self, texts: list[str]) -> Vectors:
        """One unit vector per text, float32 of shape (n, dimension).

        Raises RateLimited, Unavailable, InvalidInput or EngineFailed.
        """
        parts = [self._batch(texts[begin : begin + BATCH_TEXTS]) for begin in range(0, len(texts), BATCH_TEXTS)]
        return np.concatenate(parts) if parts else np.zeros((0, self.dimension), dtype=np.float32)

    def _batch(self, texts: list[str]) -> Vectors:
        from openai import omit

        # An empty text is refused, and with it the whole batch.
        clean = [text[:LONGEST_TEXT].encode("utf-8", "replace").decode() or " " for text in texts]
        try:
            answer = self._opened().embeddings.create(
                model=self._spec.weights.removeprefix(REMOTE),
                input=clean,
                encoding_format="float",
                dimensions=self._spec.dimension or omit,
            )
            ordered = sorted(answer.data, key=lambda one: one.index)
            vectors = np.asarray([one.embedding for one in ordered], dtype=np.float32)
            places = [one.index for one in ordered]
        except (TypeError, ValueError, AttributeError) as error:
            raise EngineFailed(WRONG_ANSWER) from error
        except Exception as error:
            raise provider_error("embeddings", error, begun=False) from error
        if places != list(range(len(texts))) or vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
            raise EngineFailed(WRONG_ANSWER)
        if vectors.shape[1] != (self.dimension or vectors.shape[1]):
            raise EngineFailed(WRONG_LENGTH)
        self.dimension = vectors.shape[1]
        return unit(vectors)

    def _opened(self) -> "OpenAI":
        if self._client is None:
            from openai import OpenAI, Timeout

            key = self._spec.api_key
            self._client = OpenAI(
                api_key=(key.get_secret_value() if key else "") or "none",
                base_url=self._spec.base_url,
                timeout=Timeout(PATIENT_READ_SECONDS if self._patient else READ_SECONDS, connect=CONNECT_SECONDS),
                max_retries=PATIENT_RETRIES if self._patient else RETRIES,
            )
        return self._client
