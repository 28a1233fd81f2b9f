"""Text becomes unit vectors: one port, and the encoders behind it."""

from storage.models.embedding.opening import open_encoder
from storage.models.embedding.port import TextEncoder, Vectors
from storage.models.embedding.sentence_transformer import EmbeddingModel
from storage.models.embedding.weights import embedding_dimension, embedding_token_count
from storage.models.encoder_spec import EncoderSpec, embedding_model_path, encoder_spec

__all__ = [
    "EmbeddingModel",
    "EncoderSpec",
    "TextEncoder",
    "Vectors",
    "embedding_dimension",
    "embedding_model_path",
    "embedding_token_count",
    "encoder_spec",
    "open_encoder",
]
