"""Where documents of an ingestion job come from, as people say it: addresses, sites, buckets and tables' columns."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from domain.document_filter import MetadataKey
from domain.text import clean_text
from domain.web_address import MAX_CHARS, parse_address

MAX_DEPTH = 10
MAX_PAGES = 10_000
MAX_METADATA_COLUMNS = 18
"""Of the 20 names that a document's metadata may have; its source needs two."""

Column = Annotated[str, AfterValidator(clean_text), Field(min_length=1, max_length=200)]


def _web_address(url: str) -> str:
    parse_address(clean_text(url))
    return url


def _bucket_address(url: str) -> str:
    parts = urlsplit(clean_text(url))
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("Write the address as s3://bucket/prefix.")
    return url


WebUrl = Annotated[str, AfterValidator(_web_address), Field(min_length=1, max_length=MAX_CHARS)]
"""Raises UnsafeAddress for what is no plain http or https address."""
Host = Annotated[str, Field(pattern=r"^[a-z0-9.-]{1,253}$")]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnMapping(_Spec):
    """How a row of a table becomes a document."""

    text: tuple[Column, ...] = Field(min_length=1, max_length=10, description="Columns that hold the text, in order.")
    id: Column | None = Field(None, description="What names a row for good; its number when unset.")
    title: Column | None = None
    metadata: tuple[MetadataKey, ...] = Field((), max_length=MAX_METADATA_COLUMNS)
    markdown: bool = Field(False, description="Whether the text is Markdown; plain text otherwise.")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, once."""
        named = (*self.text, self.id, self.title, *self.metadata)
        return tuple(dict.fromkeys(name for name in named if name is not None))


class UrlSource(_Spec):
    """Files or pages by their addresses; an archive is opened, a table with `columns` is taken row by row."""

    kind: Literal["url"] = "url"
    urls: tuple[WebUrl, ...] = Field(min_length=1, max_length=1_000)
    columns: ColumnMapping | None = None


class SitemapSource(_Spec):
    """The pages that a sitemap, or an index of sitemaps, lists."""

    kind: Literal["sitemap"] = "sitemap"
    url: WebUrl
    max_pages: int = Field(1_000, ge=1, le=MAX_PAGES)
    hosts: tuple[Host, ...] = Field((), max_length=20, description="Hosts beside that of the address.")


class CrawlSource(_Spec):
    """The pages that can be reached from one by links, as far as robots.txt allows."""

    kind: Literal["crawl"] = "crawl"
    url: WebUrl
    depth: int = Field(2, ge=0, le=MAX_DEPTH, description="Links away from the first page.")
    max_pages: int = Field(200, ge=1, le=MAX_PAGES)
    hosts: tuple[Host, ...] = Field((), max_length=20, description="Hosts beside that of the address.")


class BucketKey(_Spec):
    """What signs requests to a bucket that is not public."""

    access_key_id: str = Field(min_length=1, max_length=200)
    secret_access_key: SecretStr = Field(min_length=1, max_length=500)
    session_token: SecretStr | None = Field(None, max_length=4_000)


class BucketSource(_Spec):
    """The objects below a prefix of a bucket of S3, or of a store that speaks as it does."""

    kind: Literal["s3"] = "s3"
    url: Annotated[str, AfterValidator(_bucket_address), Field(min_length=6, max_length=MAX_CHARS)]
    endpoint: WebUrl | None = Field(None, description="Of another store than AWS.")
    region: str = Field("us-east-1", pattern=r"^[a-z0-9-]{1,40}$")
    key: BucketKey | None = Field(None, description="Nothing is signed without; the bucket has to be public then.")
    columns: ColumnMapping | None = None


SourceSpec = Annotated[UrlSource | SitemapSource | CrawlSource | BucketSource, Field(discriminator="kind")]
"""What the platform itself reads. Files of a person's own machine are handed over by the client."""
