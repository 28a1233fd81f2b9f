"""Objects of an S3 bucket as a source: requests are signed here and sent through the one safe door.

No credentials but those of the source are ever used: the platform's own would open its own buckets to everybody.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from domain.documents import IngestionFailure
from domain.errors import AppError
from domain.sources import BucketKey, BucketSource
from pipelines.parsing.sandbox import read
from pipelines.sources.content import Content
from pipelines.sources.expand_limits import too_large_sentence
from pipelines.sources.found import Found, Known, MetadataValue, SourceFailure, SourceLimits, SourceUnchanged, at_most
from pipelines.sources.intake import Arrival, Intake
from storage.web import SafeFetcher

LISTING_BYTES = 16 * 1024 * 1024
SIGNED_SECONDS = 300
FORBIDDEN = "The bucket does not let us read this; look at its key."
MISSING = "There is no such bucket, or nothing in it by this name."


class Bucket:
    """The objects below the prefix, sorted by key, folders' own marks and hidden names left out."""

    def __init__(
        self,
        spec: BucketSource,
        fetcher: SafeFetcher,
        limits: SourceLimits | None = None,
        known: Mapping[str, Known] | None = None,
    ) -> None:
        """`known` is what the last run was told, by address (`s3://bucket/key`)."""
        parts = urlsplit(spec.url)
        self._bucket, self._prefix = parts.netloc, parts.path.removeprefix("/")
        self._spec = spec
        self._fetcher = fetcher
        self._limits = limits or SourceLimits()
        self._intake = Intake(self._limits, spec.columns)
        self._known = known or {}
        self._signer: Any = None

    async def items(self) -> AsyncGenerator[Found, None]:
        async with aclosing(at_most(self._limits.max_items, self._everything(), self._spec.url)) as found:
            async for item in found:
                yield item

    async def _everything(self) -> AsyncGenerator[Found, None]:
        following: str | None = None
        while True:
            try:
                listing = await self._listing(following)
            except (IngestionFailure, AppError) as error:
                yield SourceFailure("", self._spec.url, _sentence(error))
                return
            for key, size in listing["objects"]:
                if any(part.startswith(".") for part in key.split("/")) or key.endswith("/"):
                    continue
                async with aclosing(self._object(key, size)) as found:
                    async for item in found:
                        yield item
            if not listing["next"] or listing["next"] == following:
                return
            following = listing["next"]

    async def _listing(self, following: str | None) -> dict[str, Any]:
        query = {"Bucket": self._bucket, "Prefix": self._prefix, "EncodingType": "url"}
        if following:
            query["ContinuationToken"] = following
        url = await self._signed("list_objects_v2", query)
        async with self._fetcher.get(url, LISTING_BYTES, None) as fetched:
            data = b"".join([piece async for piece in fetched.chunks])
        return await asyncio.to_thread(read, data, self._spec.url, "listing")

    async def _object(self, key: str, size: int) -> AsyncGenerator[Found, None]:
        source = f"s3://{self._bucket}/{key}"
        most = self._intake.most_bytes(key)
        if size > most:
            yield SourceFailure(key, source, too_large_sentence(most))
            return
        known, content = self._known.get(source, Known()), Content()
        try:
            url = await self._signed("get_object", {"Bucket": self._bucket, "Key": key})
            async with self._fetcher.get(url, most, None, etag=known.etag) as fetched:
                if fetched.unchanged:
                    content.close()
                    yield SourceUnchanged(key, source)
                    return
                async for piece in fetched.chunks:
                    await content.write(piece)
        except AppError as error:
            content.close()
            yield SourceFailure(key, source, _sentence(error))
            return
        except BaseException:
            content.close()
            raise
        metadata: dict[str, MetadataValue] = {"etag": fetched.etag} if fetched.etag else {}
        arrival = Arrival(key, key.rpartition("/")[2], source, content, fetched.media_type, metadata)
        async with aclosing(self._intake.found(arrival)) as found:
            async for item in found:
                yield item

    async def _signed(self, operation: str, query: dict[str, str]) -> str:
        return await asyncio.to_thread(self._presigned, operation, query)

    def _presigned(self, operation: str, query: dict[str, str]) -> str:
        # One at a time, from `_everything`: nobody else makes one meanwhile.
        self._signer = self._signer or _signer(self._spec)
        url: str = self._signer.generate_presigned_url(operation, Params=query, ExpiresIn=SIGNED_SECONDS)
        return url


def _signer(spec: BucketSource) -> Any:
    """A client that only signs."""
    import botocore.session
    from botocore import UNSIGNED
    from botocore.config import Config

    # Given also where nothing is signed: without, it would look for this machine's own.
    key = spec.key or BucketKey(access_key_id="none", secret_access_key=SecretStr("none"))
    style = "path" if spec.endpoint or "." in urlsplit(spec.url).netloc else "virtual"
    return botocore.session.Session().create_client(
        "s3",
        region_name=spec.region,
        endpoint_url=spec.endpoint,
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key.get_secret_value(),
        aws_session_token=key.session_token.get_secret_value() if key.session_token else None,
        config=Config(
            signature_version="s3v4" if spec.key else UNSIGNED,
            s3={"addressing_style": style},
            ignore_configured_endpoint_urls=True,
        ),
    )


def _sentence(error: Exception) -> str:
    return {401: FORBIDDEN, 403: FORBIDDEN, 404: MISSING}.get(getattr(error, "answered", None) or 0, str(error))
