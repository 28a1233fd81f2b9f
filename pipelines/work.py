"""What goes into ingestion and what comes out, and how much of the machine it may take."""

from dataclasses import dataclass, field

from configs.settings import Settings
from configs.sizing import load_sizing
from domain.chunking_config import ChunkingConfig
from domain.documents import Chunk, Recognition
from domain.ids import ChatbotId, DocumentId, TenantId
from pipelines.parsing.limits import ParseLimits, recognising
from pipelines.parsing.recognition import is_installed
from storage.models.embedding import EncoderSpec, Vectors, encoder_spec
from storage.models.window import embedding_window


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One document to ingest; its bytes are in the object store."""

    tenant_id: TenantId
    chatbot_id: ChatbotId
    document_id: DocumentId
    name: str
    media_type: str
    keys: str = field(default="", repr=False)
    """`DocumentKeys.dumps` for sealed files; empty for those in clear, from before encryption."""
    chunking: str = ""
    """The bot's `ChunkingConfig` as JSON; empty for the usual one."""
    generation: int = 0
    """Of the bot's knowledge, whose table takes the chunks."""
    again: str = ""
    """Anything, where what was parsed before does as well."""


@dataclass(frozen=True, slots=True)
class IngestSizing:
    """Ray's logical CPUs; fractions, because ingestion shares its nodes with chat unless they are its own."""

    objects_url: str
    weights: str
    """Of the embedding model: a folder, a Hugging Face id, or the name of a remote one; its tokens measure chunks."""
    encoder: EncoderSpec | None = None
    """What makes the vectors; torch on `weights` when unset."""
    model: str = ""
    """The embedding model's name, as it is in fingerprints."""
    embed_workers: int = 1
    embed_threads: int = 2
    embed_cpus: float = 0.25
    """Of each embed worker, for as long as it is kept warm."""
    parse_cpus: float = 0.25
    total_cpus: float = 0.5
    """Of all tasks of one run together, embed workers not counted."""
    batch_chunks: int = 128
    """That a worker embeds at once; the more, the better texts of like length go together (64 cost it 3 % more)."""
    limits: ParseLimits = field(default_factory=ParseLimits)
    label_selector: dict[str, str] | None = None
    """Node labels that ingestion is bound to, on a cluster with nodes of its own for it."""
    recognition: ParseLimits | None = None
    """Of reading a file again whose pages are pictures; None where their text is not recognised."""


@dataclass(frozen=True, slots=True)
class EmbeddedDocument:
    """A document with all its chunks, in order; `vectors` has shape (len(chunks), dimension)."""

    item: WorkItem
    pages: int | None
    chunks: list[Chunk]
    vectors: Vectors
    language: str | None = None
    chunked_with: str | None = None
    """The fingerprint of chunking and model."""
    notice: str | None = None
    recognition: Recognition | None = None


@dataclass(frozen=True, slots=True)
class FailedDocument:
    item: WorkItem
    reason: str
    """A sentence for the user."""


@dataclass(frozen=True, slots=True)
class InterruptedDocument:
    """Something beside the document broke: it may be tried again. Nothing of this attempt is searchable."""

    item: WorkItem
    reason: str
    """A sentence for the user, should it be the last attempt."""


Result = EmbeddedDocument | FailedDocument | InterruptedDocument


def chunking_of(item: WorkItem, sizing: IngestSizing) -> ChunkingConfig:
    """How the document is cut: as its bot says, and never beyond the model's window."""
    config = ChunkingConfig.model_validate_json(item.chunking) if item.chunking else ChunkingConfig()
    return config.within(embedding_window(sizing.weights))


def ingest_sizing(settings: Settings) -> IngestSizing:
    """The sizing of the settings' profile: a share of the one machine, or nodes of its own on a cluster."""
    place = load_sizing(settings.profile).ingest.label_selector or None
    encoder = encoder_spec(settings)
    recognition = recognition_limits(settings)
    if settings.profile != "kubernetes":
        return IngestSizing(
            settings.objects_url,
            encoder.weights,
            encoder,
            settings.embedding_model,
            label_selector=place,
            recognition=recognition,
        )
    return IngestSizing(
        settings.objects_url,
        encoder.weights,
        encoder,
        settings.embedding_model,
        embed_workers=2,
        embed_cpus=2.0,
        parse_cpus=1.0,
        total_cpus=8.0,
        label_selector=place,
        recognition=recognition,
    )


def recognition_limits(settings: Settings) -> ParseLimits | None:
    """None where the installation recognises no text: it is switched off, or the extra `ocr` is not installed."""
    if settings.ocr == "off" or not is_installed():
        return None
    return recognising(ParseLimits(), settings.ocr_pages, settings.ocr_seconds)
