"""Buckets as sources, against a server that answers as S3 does: listing by pages, signed requests, and refusals."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote_plus, unquote, urlsplit

import pytest
from pydantic import ValidationError

from domain.sources import BucketKey, BucketSource, ColumnMapping
from pipelines.sources import bucket
from pipelines.sources.found import Known, SourceLimits
from pipelines.sources.opening import open_source
from tests.fixtures import files
from tests.fixtures.sources import Read, parquet, read
from tests.fixtures.web_server import WebServer, local_fetcher, response

OBJECTS = {
    "docs/": b"",
    "docs/a b+c.txt": b"A",
    "docs/deep/é&<.md": b"# E",
    "docs/.hidden.txt": b"no",
    "docs/all.zip": files.archive({"z.txt": b"Z"}),
    "docs/t.parquet": parquet({"body": ["Row."]}),
    "docs/huge.txt": b"x" * 5_000,
}
KEY = BucketKey(access_key_id="AKIAEXAMPLE", secret_access_key="a-secret", session_token="a-token")


class BucketServer(dict[str, Any]):
    """Answers two objects a page; nothing without the key's signature when one is `wanted`."""

    def __init__(self, objects: Mapping[str, bytes], wanted: str = "") -> None:
        super().__init__()
        self.objects, self.wanted = objects, wanted
        self.listed = 0

    def get(self, target: str, default: Any = None) -> Any:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self.wanted and not query.get("X-Amz-Credential", "").startswith(f"{self.wanted}/"):
            return response(b"<Error/>", status="403 Forbidden")
        assert re.fullmatch("[0-9a-f]{64}", query.get("X-Amz-Signature", "0" * 64))
        _, name, key = parts.path.split("/", 2) if parts.path.count("/") > 1 else ("", parts.path[1:], "")
        if name != "papers":
            return response(b"<Error/>", status="404 Not Found")
        if "list-type" in query:
            return self._page(query)
        return response(self.objects[unquote(key)], etag='"v1"', content_type="application/octet-stream")

    def _page(self, query: Mapping[str, str]) -> bytes:
        self.listed += 1
        keys = sorted(key for key in self.objects if key.startswith(query.get("prefix", "")))
        start = int(query.get("continuation-token", "0"))
        rows = "".join(
            f"<Contents><Key>{quote_plus(key)}</Key><Size>{len(self.objects[key])}</Size></Contents>"
            for key in keys[start : start + 2]
        )
        more = start + 2 < len(keys)
        token = f"<NextContinuationToken>{start + 2}</NextContinuationToken>" if more else ""
        return response(
            f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>".encode()
        )


async def below(
    web: WebServer, url: str = "s3://papers/docs/", *, known: Mapping[str, Known] | None = None, **options: Any
) -> Read:
    spec = BucketSource(url=url, endpoint=f"http://files.example:{web.port}", **options)
    return await read(open_source(spec, local_fetcher(), SourceLimits(max_bytes=1_000), known))


async def test_the_objects_below_a_prefix(web_server: WebServer) -> None:
    web_server.pages = server = BucketServer({**OBJECTS, "other/x.txt": b"X"})
    found = await below(web_server, columns=ColumnMapping(text=("body",)))
    assert found.bodies == {
        "docs/a b+c.txt": b"A",
        "docs/deep/é&<.md": b"# E",
        "docs/all.zip/z.txt": b"Z",
        "docs/t.parquet#1": b"Row.",
    }
    assert found.failures == {"docs/huge.txt": "The file is larger than 0.000954 MiB."}
    assert server.listed == 4
    item = found.items["docs/a b+c.txt"]
    assert (item.name, item.source, item.metadata) == ("a b+c.txt", "s3://papers/docs/a b+c.txt", {"etag": '"v1"'})
    assert not [head for head in web_server.requests if "Authorization" in head or "X-Amz-Credential" in head]
    assert not [head for head in web_server.requests if "huge" in head]


async def test_requests_are_signed_by_the_sources_key_and_by_no_other(
    web_server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAPLATFORM")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-platforms-own")
    web_server.pages = BucketServer({"docs/a.txt": b"A"}, wanted="AKIAEXAMPLE")
    assert (await below(web_server, key=KEY)).bodies == {"docs/a.txt": b"A"}
    assert (await below(web_server)).failures == {"": bucket.FORBIDDEN}
    assert "AKIAPLATFORM" not in "".join(web_server.requests)
    assert "a-secret" not in "".join(web_server.requests)
    assert "a-secret" not in repr(BucketSource(url="s3://papers", key=KEY))


async def test_a_rerun_asks_for_what_changed(web_server: WebServer) -> None:
    web_server.pages = BucketServer({"docs/a.txt": b"A"})
    first = await below(web_server)
    web_server.requests.clear()
    known = {item.source: Known(str(item.metadata["etag"])) for item in first.items.values()}
    await below(web_server, known=known)
    assert 'If-None-Match: "v1"' in web_server.requests[-1]


async def test_buckets_that_cannot_be_read_have_a_reason(web_server: WebServer) -> None:
    web_server.pages = BucketServer({})
    assert (await below(web_server, "s3://nothing/x")).failures == {"": bucket.MISSING}
    web_server.pages = {"/papers?list-type=2&prefix=&encoding-type=url": response(b"<html>")}
    assert len((await below(web_server, "s3://papers")).failures) == 1
    spec = BucketSource(url="s3://papers", endpoint="http://inside.example:9000")
    found = await read(open_source(spec, local_fetcher()))
    assert list(found.failures.values()) == ["This address cannot be fetched: it does not belong to the public web."]


@pytest.mark.parametrize(
    "url", ["file:///etc", "s3:///x", "gs://b/x", "s3://b/x?y=1", "/etc/passwd", "s3://", "memory://x"]
)
def test_only_buckets_are_buckets(url: str) -> None:
    with pytest.raises(ValidationError):
        BucketSource(url=url)
