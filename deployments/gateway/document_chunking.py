"""How the gateway sees chunking: settings that the embedding model can follow, and the fingerprint of today."""

from fastapi.exceptions import RequestValidationError

from configs.settings import Settings
from domain.chatbot import Chatbot
from domain.chunking_config import ChunkingConfig
from storage.models.encoder_spec import embedding_model_path
from storage.models.window import embedding_window


def window_of(settings: Settings) -> int | None:
    """Tokens that the embedding model reads of a text; None when its files do not say."""
    return embedding_window(embedding_model_path(settings))


def check_chunking(settings: Settings, chunking: ChunkingConfig) -> None:
    """Raises RequestValidationError for chunks that the embedding model would not read to their end."""
    window = window_of(settings)
    if chunking.within(window) != chunking:
        message = f"the embedding model reads {window} tokens"
        raise RequestValidationError([{"loc": ("chunking", "max_tokens"), "msg": message, "type": "value_error"}])


def present_fingerprint(settings: Settings, bot: Chatbot) -> str:
    """What documents of the bot would be ingested with now."""
    model = bot.knowledge.model or settings.embedding_model
    return bot.config.chunking.within(window_of(settings.with_embedding_model(model))).fingerprint(model)
