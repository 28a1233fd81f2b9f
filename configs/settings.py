"""The one frozen Settings object: environment and `.env`, read once at the edge and passed in."""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import AfterValidator, AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.mail import SmtpServer, checked_sender

DEMO_EMAIL = "demo@loquent.example"
DEMO_PASSWORD = "loquent-demo"  # noqa: S105 - public on purpose
"""Log-in of the demo tenant; it exists on local installations only."""

_HOST = re.compile(r"(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


def _checked_origin(origin: str) -> str:
    """Exactly what a browser sends as Origin. Raises ValueError, also for `*`: answers carry personal data."""
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.netloc):
        raise ValueError("an origin is `https://host` or `https://host:port`")
    if origin != f"{parts.scheme}://{parts.netloc}":
        raise ValueError("an origin ends with its host or port")
    return origin


def _checked_network(network: str) -> str:
    return str(ip_network(network))


def _checked_server(url: SecretStr | None) -> SecretStr | None:
    if url is not None:
        SmtpServer.parse(url.get_secret_value())
    return url


Origins = tuple[Annotated[str, AfterValidator(_checked_origin)], ...]
Networks = tuple[Annotated[str, AfterValidator(_checked_network)], ...]


class Settings(BaseSettings):
    """Every name is the environment variable `LOQUENT_<NAME>`, unless an alias says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="LOQUENT_",
        env_file=".env",
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    data_dir: Path = Field(Path(".loquent"), description="Where the embedded servers, models and files live.")
    profile: Literal["local", "kubernetes", "test"] = "local"
    host: str = Field("127.0.0.1", description="Where the page and the API are announced.")
    port: int = Field(8000, ge=1, le=65_535, description="Port of the page and the API.")

    database_url: str | None = Field(
        None,
        validation_alias=AliasChoices("DATABASE_URL", "database_url"),
        description="PostgreSQL, as the owner role; embedded when unset.",
    )
    redis_url: str | None = Field(
        None,
        validation_alias=AliasChoices("REDIS_URL", "redis_url"),
        description="Redis or Valkey; embedded when unset.",
    )
    object_store_url: str | None = Field(
        None, description="Root of blobs and LanceDB (`s3://bucket/prefix` or a folder); `data_dir/objects` when unset."
    )
    secret_key: SecretStr = Field(
        SecretStr(""), description="Signs tokens and authenticates processes; made and kept in data_dir when unset."
    )

    master_keys: SecretStr = Field(
        SecretStr(""),
        description="Wrap the tenants' data keys: `id:64 hexadecimal digits`, the newest first, with commas between; "
        "made and kept in data_dir when unset.",
    )

    access_token_minutes: int = Field(15, ge=1)
    refresh_token_days: int = Field(30, ge=1, description="How long a sign-in lives that is not used.")
    sign_in_days: int = Field(90, ge=1, description="How long a sign-in lives however often it is used.")
    visitor_token_minutes: int = Field(60, ge=1, le=1_440, description="How long a visitor's token lives.")
    token_issuer: str = "loquent"  # noqa: S105 - a name
    token_audience: str = "loquent-api"  # noqa: S105 - a name
    allowed_origins: Origins = Field((), description="Origins beside our own that may open sockets and call the API.")
    frame_ancestors: Origins = Field((), description="Origins whose pages may show the chat page in a frame.")
    trusted_proxies: Networks = Field(
        (), description="Networks of proxies, beside loopback, whose word about the client's address counts."
    )
    fetch_networks: Networks = Field(
        (), description="Networks, beside the public internet, whose addresses documents may be fetched from."
    )
    rate_limit_factor: float = Field(
        1.0, gt=0, description="Multiplies every limit of calls in deployments/gateway/rate_limits.py."
    )

    public_url: Annotated[str, AfterValidator(_checked_origin)] | None = Field(
        None, description="Where people reach the page, for links in mails; `http://host:port` when unset."
    )
    identity_file: Path | None = Field(None, description="Another identity.yaml.")
    smtp_url: Annotated[SecretStr | None, AfterValidator(_checked_server)] = Field(
        None,
        description="`smtp://user:password@host:587?tls=starttls`; mail becomes files in `data_dir/mail` when unset.",
    )
    mail_from: Annotated[str, AfterValidator(checked_sender)] = Field(
        "Loquent <no-reply@loquent.example>", description="The sender of mails."
    )

    otlp_endpoint: Annotated[str, AfterValidator(_checked_origin)] | None = Field(
        None, description="A collector of OpenTelemetry, as `http://host:4318`; turns are exported to it as spans."
    )

    default_model: str = Field("smollm2-135m", description="The key of configs/models.yaml that `default` means.")
    local_engine: Literal["auto", "vllm", "llamacpp", "none"] = Field(
        "auto",
        description="Which engine runs local weights; `auto` takes vLLM where it is installed and there are the "
        "processor and the memory for it, else llama.cpp.",
    )
    models_file: Path | None = Field(None, description="Another models.yaml.")
    embedding_model: str = Field(
        "all-MiniLM-L6-v2",
        description="A prepared name, any sentence-transformers model id or folder, or a remote model's name.",
    )
    embedding_backend: Literal["auto", "torch", "openvino", "remote"] = Field(
        "auto",
        description="What runs the embedding model; `auto` takes a GPU, else the fastest that set-up found as good as "
        "torch in float32. `remote` is an API with OpenAI's `/embeddings`.",
    )
    embedding_base_url: str | None = Field(None, description="That API; OPENAI_BASE_URL, else OpenAI's, when unset.")
    embedding_api_key: SecretStr | None = Field(
        None, description="Its key; OPENAI_API_KEY when unset and the API is that one."
    )
    embedding_dimension: int | None = Field(
        None, ge=1, le=8_192, description="Length of vectors to ask the remote API for; its own when unset."
    )
    ocr: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether the text of scanned pages is recognised; `auto` where the extra `ocr` is installed, `on` "
        "has `loquent doctor` find fault where it is not.",
    )
    ocr_pages: int = Field(100, ge=1, le=5_000, description="Scanned pages of one file whose text is recognised.")
    ocr_seconds: float = Field(
        240.0, gt=0, le=3_600, description="How long recognising the text of one file may take; then it is left."
    )
    reranker_model: str | None = Field(
        None,
        description="A folder or Hugging Face id of a sentence-transformers cross-encoder; without one, bots that ask "
        "for it keep the order of the fused ranks.",
    )
    rerank_seconds: float = Field(2.0, gt=0, description="Longest a question waits for the cross-encoder.")
    embedding_models: tuple[str, ...] = Field(
        (),
        max_length=8,
        description="Further models that a bot's documents can be embedded with; each is kept in memory for questions.",
    )
    knowledge_keep_days: float = Field(
        7.0, ge=0, description="How long what a bot knew before it was embedded again is kept, for the way back."
    )
    openai_api_key: SecretStr | None = Field(None, validation_alias=AliasChoices("OPENAI_API_KEY", "openai_api_key"))
    openai_base_url: str | None = Field(None, validation_alias=AliasChoices("OPENAI_BASE_URL", "openai_base_url"))
    azure_openai_api_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices("AZURE_OPENAI_API_KEY", "azure_openai_api_key")
    )
    azure_openai_endpoint: str | None = Field(
        None, validation_alias=AliasChoices("AZURE_OPENAI_ENDPOINT", "azure_openai_endpoint")
    )
    anthropic_api_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices("ANTHROPIC_API_KEY", "anthropic_api_key")
    )
    anthropic_base_url: str | None = Field(
        None, validation_alias=AliasChoices("ANTHROPIC_BASE_URL", "anthropic_base_url")
    )

    moderation_api_key: SecretStr | None = Field(
        None, description="Key of a moderation API; without one, bots that ask for it go by their `on_failure`."
    )
    moderation_base_url: str = Field(
        "https://api.openai.com/v1", description="An API with OpenAI's `/moderations`, for the check `moderation_api`."
    )
    moderation_model: str = "omni-moderation-latest"

    stripe_api_key: SecretStr = Field(
        SecretStr("sk_test_loquent"), validation_alias=AliasChoices("STRIPE_API_KEY", "stripe_api_key")
    )
    stripe_base_url: str | None = Field(
        None,
        validation_alias=AliasChoices("STRIPE_BASE_URL", "stripe_base_url"),
        description="Stripe's API; the local double when unset and the key is the default one.",
    )
    stripe_webhook_secret: SecretStr = Field(
        SecretStr("whsec_loquent"), validation_alias=AliasChoices("STRIPE_WEBHOOK_SECRET", "stripe_webhook_secret")
    )

    sentry_dsn: str | None = Field(None, validation_alias=AliasChoices("SENTRY_DSN", "sentry_dsn"))
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    max_body_bytes: int = Field(1024 * 1024, description="Largest JSON body.")
    max_upload_bytes: int = Field(50 * 1024 * 1024, description="Largest uploaded file.")
    socket_auth_seconds: float = Field(10.0, description="How long a socket may stay silent before `auth`.")
    max_sockets: int = Field(4_000, description="Open sockets per gateway replica.")
    session_hosts: int = Field(2, ge=1, description="Processes that hold tenant actors.")
    max_dedicated_hosts: int = Field(8, ge=0, description="Processes for tenants whose plan has one of its own.")
    max_running_turns: int = Field(256, ge=1, description="Turns that run at once in one session host.")
    orphaned_turns: Literal["restart", "interrupt"] = Field(
        "restart", description="What becomes of a turn whose process died before any of its answer was shown."
    )
    answer_cache: bool = Field(
        True, description="Whether answers are kept for questions asked again, where a bot's configuration says so."
    )
    turn_timeout_seconds: float = Field(120.0, description="Longest a turn may run.")

    tenant_erasure_grace_days: float | None = Field(
        None,
        ge=0,
        description="How long a company's erasure can be taken back; unset, 7 on Kubernetes, 0 elsewhere.",
    )

    @property
    def tenant_erasure_grace_seconds(self) -> float:
        days = self.tenant_erasure_grace_days
        return (7.0 if self.profile == "kubernetes" else 0.0) * 86_400 if days is None else days * 86_400

    @property
    def offered_embedding_models(self) -> tuple[str, ...]:
        """Those that a bot's vectors can be of, the usual one first."""
        return tuple(dict.fromkeys((self.embedding_model, *self.embedding_models)))

    def with_embedding_model(self, model: str) -> Self:
        """The same for another one of the models."""
        return self.model_copy(update={"embedding_model": model})

    @property
    def root(self) -> Path:
        return self.data_dir.expanduser().resolve()

    @property
    def objects_url(self) -> str:
        return self.object_store_url or str(self.root / "objects")

    @property
    def mail_dir(self) -> Path:
        return self.root / "mail"

    @property
    def page_url(self) -> str:
        """Where links in mails lead. Never what a request calls the host: that is the client's word."""
        return self.public_url or f"http://{self.host}:{self.port}"

    @property
    def models_dir(self) -> Path:
        return self.root / "models"


def with_login(url: str, user: str, password: str) -> str:
    """The same PostgreSQL URL with another log-in."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(user)}:{quote(password)}@{host}"))


def master_keys_of(settings: Settings) -> str:
    """Those of `settings`, or of this process's own environment; empty when neither has any.

    On a cluster they do not travel with the other settings: Ray writes what travels to a store of its own.
    """
    return (settings.master_keys or Settings().master_keys).get_secret_value()


def without_master_keys(settings: Settings) -> Settings:
    """For whoever must not have them, or finds them in the environment."""
    return settings.model_copy(update={"master_keys": SecretStr("")})
