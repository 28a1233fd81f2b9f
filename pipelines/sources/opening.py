"""Opens a source by what people say of it."""

from collections.abc import Mapping

from domain.sources import BucketSource, CrawlSource, SitemapSource, SourceSpec, UrlSource
from pipelines.sources.bucket import Bucket
from pipelines.sources.crawl import Crawl
from pipelines.sources.found import Known, Source, SourceLimits
from pipelines.sources.sitemap_pages import SitemapPages
from pipelines.sources.url_documents import UrlDocuments
from storage.web import SafeFetcher


def open_source(
    spec: SourceSpec,
    fetcher: SafeFetcher,
    limits: SourceLimits | None = None,
    known: Mapping[str, Known] | None = None,
) -> Source:
    """A source of the web; nothing is read before its items are asked for. `known` is by their `source`."""
    match spec:
        case UrlSource():
            return UrlDocuments(spec, fetcher, limits, known)
        case SitemapSource():
            return SitemapPages(spec, fetcher, limits, known)
        case CrawlSource():
            return Crawl(spec, fetcher, limits, known)
        case BucketSource():
            return Bucket(spec, fetcher, limits, known)
