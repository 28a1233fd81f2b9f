"""`loquent ingest`: its arguments, and what they mean."""

import asyncio
import glob
import json
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from cluster.embedded.process import SetupError
from cluster.terminal import console, fail, running_url, settings
from configs.settings import DEMO_EMAIL, DEMO_PASSWORD
from domain.errors import AppError

_KINDS = ("http://", "https://", "s3://")
COLUMNS = "Of a Parquet, CSV or JSON Lines file whose rows are documents: "


def ingest(
    path: Annotated[
        str, typer.Argument(help="A file, folder, pattern or archive; an http(s) address; or s3://bucket/prefix.")
    ],
    chatbot: Annotated[str, typer.Option(help="Id of the chatbot.")],
    email: Annotated[str, typer.Option(envvar="LOQUENT_EMAIL", help="Log-in; the demo's when not given.")] = "",
    password: Annotated[str, typer.Option(envvar="LOQUENT_PASSWORD", help="Its password.")] = "",
    api_key: Annotated[str, typer.Option(envvar="LOQUENT_API_KEY", help="Instead of a log-in.")] = "",
    url: Annotated[str, typer.Option(help="Of the platform; the installation of this folder when not given.")] = "",
    job_name: Annotated[str, typer.Option(help="What the job is called in lists.")] = "",
    sitemap: Annotated[bool, typer.Option("--sitemap", help="The address is a sitemap: take its pages.")] = False,
    crawl: Annotated[bool, typer.Option("--crawl", help="Follow the links of the page.")] = False,
    depth: Annotated[int, typer.Option(help="With --crawl: how many links away from the page.")] = 2,
    max_pages: Annotated[int, typer.Option(help="With --crawl or --sitemap.")] = 1_000,
    text_column: Annotated[list[str], typer.Option(help=COLUMNS + "the text; may be repeated.")] = [],  # noqa: B006
    id_column: Annotated[str, typer.Option(help="What names a row for good.")] = "",
    title_column: Annotated[str, typer.Option(help="The title of a row.")] = "",
    metadata_column: Annotated[list[str], typer.Option(help="Kept beside the text; may be repeated.")] = [],  # noqa: B006
    endpoint: Annotated[str, typer.Option(help="Of an S3-compatible store other than AWS.")] = "",
    region: Annotated[str, typer.Option(envvar="AWS_REGION", help="Of the bucket.")] = "us-east-1",
    access_key_id: Annotated[
        str, typer.Option(envvar="AWS_ACCESS_KEY_ID", help="Of a bucket that is not public.")
    ] = "",
    secret_access_key: Annotated[str, typer.Option(envvar="AWS_SECRET_ACCESS_KEY", help="To the key's id.")] = "",
    session_token: Annotated[str, typer.Option(envvar="AWS_SESSION_TOKEN", help="To a temporary key.")] = "",
    replace: Annotated[
        bool | None,
        typer.Option(help="Whether a document takes the place of earlier ones of the same path or address."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count chunks, tokens and cost; store nothing.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait until the documents are searchable.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Ingest documents and wait until they are searchable; what the chatbot has already is not sent again."""
    from cluster.ingestion.credentials import ApiKey, LogIn

    try:
        columns = _columns(text_column, id_column, title_column, metadata_column)
        spec = None
        if path.startswith(_KINDS):
            key = (access_key_id, secret_access_key, session_token)
            spec = _spec(path, columns, sitemap, crawl, depth, max_pages, endpoint, region, key)
        url = url or running_url()
        auth: httpx.Auth = LogIn(url, email or DEMO_EMAIL, password or DEMO_PASSWORD)
        if api_key:
            auth = ApiKey(api_key)
        # Nothing but the result goes to the standard output of a program.
        shown = Console(stderr=True) if as_json else console
        if dry_run:
            well = _estimate(url, chatbot, auth, path, spec, columns, shown, as_json)
        else:
            well = _ingest(url, chatbot, auth, path, spec, columns, shown, as_json, job_name, replace, wait)
    except SetupError as error:
        raise fail(str(error)) from None
    if not well:
        raise typer.Exit(1)


def _ingest(
    url: str,
    chatbot: str,
    auth: httpx.Auth,
    path: str,
    spec: dict[str, Any] | None,
    columns: dict[str, Any] | None,
    shown: Console,
    as_json: bool,
    name: str,
    replace: bool | None,
    wait: bool,
) -> bool:
    from cluster.ingestion.run import MOST_FAILURES, SHOWN_FAILURES, Ingestion, Work, show
    from pipelines.sources.local import LocalSource

    source = None if spec else LocalSource(path, columns=_mapping(columns))
    work = Work(url, chatbot, auth, name, source, "" if spec else _place(path), spec, replace, wait)
    ingestion = Ingestion(work, shown, most_failures=MOST_FAILURES if as_json else SHOWN_FAILURES)
    try:
        outcome = asyncio.run(ingestion.run())
    except KeyboardInterrupt:
        _interrupt(ingestion, chatbot, shown)
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(outcome.as_json(), indent=1))  # noqa: T201
    else:
        show(outcome, shown)
    return outcome.well


def _interrupt(ingestion: Any, chatbot: str, shown: Console) -> None:
    """Ask what is to become of the job; where nobody can answer, what has been handed over is ingested."""
    if not ingestion.job_id:
        return
    question = "Cancel the job? What waits is removed, what is searchable stays."
    cancel = shown.is_terminal and typer.confirm(question, default=False, err=True)
    asyncio.run(ingestion.interrupt(cancel=cancel))
    if cancel:
        shown.print(f"Job {ingestion.job_id} is cancelled.")
    else:
        shown.print(f"Job {ingestion.job_id} goes on with what it has; GET /knowledgebase/{chatbot}/jobs shows it.")


def _estimate(
    url: str,
    chatbot: str,
    auth: httpx.Auth,
    path: str,
    spec: dict[str, Any] | None,
    columns: dict[str, Any] | None,
    shown: Console,
    as_json: bool,
) -> bool:
    from cluster.ingestion.client import KnowledgeClient
    from cluster.ingestion.dry_run import Estimate, cutting_for, estimate, show
    from domain.web_address import networks_of
    from pipelines.sources.found import Source, SourceLimits
    from pipelines.sources.local import LocalSource
    from pipelines.sources.opening import open_source
    from storage.web import SafeFetcher

    async def run() -> Estimate:
        async with KnowledgeClient(url, chatbot, auth) as client:
            source: Source
            if spec:
                limits, fetcher = SourceLimits(), SafeFetcher(networks_of(settings().fetch_networks))
                source = open_source(_valid(spec), fetcher, limits, {})
            else:
                source = LocalSource(path, columns=_mapping(columns))
            return await estimate(source, client, await cutting_for(settings(), client), shown)

    try:
        found = asyncio.run(run())
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(found.as_json(), indent=1))  # noqa: T201
    else:
        show(found, shown)
    return not found.failures


def _place(path: str) -> str:
    """The name under which the platform knows where files are: that of the folder that was named."""
    named = Path(path).expanduser()
    if named.is_dir():
        return named.resolve().name
    if named.exists() or not glob.has_magic(path):
        return ""
    fixed = next(number for number, part in enumerate(named.parts) if glob.has_magic(part))
    return Path(*named.parts[:fixed]).resolve().name


def _columns(text: list[str], row_id: str, title: str, metadata: list[str]) -> dict[str, Any] | None:
    """Raises SetupError for columns without a text."""
    if text:
        return {"text": text, "id": row_id or None, "title": title or None, "metadata": metadata}
    if row_id or title or metadata:
        raise SetupError("Say with --text-column which columns hold the text.")
    return None


def _spec(
    url: str,
    columns: dict[str, Any] | None,
    sitemap: bool,
    crawl: bool,
    depth: int,
    max_pages: int,
    endpoint: str,
    region: str,
    key: tuple[str, str, str],
) -> dict[str, Any]:
    """What the platform is asked to read. Raises SetupError."""
    spec: dict[str, Any]
    if url.startswith("s3://"):
        spec = {"kind": "s3", "url": url, "region": region, "endpoint": endpoint or None, "columns": columns}
        if key[0]:
            spec["key"] = {"access_key_id": key[0], "secret_access_key": key[1], "session_token": key[2] or None}
    elif crawl:
        spec = {"kind": "crawl", "url": url, "depth": depth, "max_pages": max_pages}
    elif sitemap:
        spec = {"kind": "sitemap", "url": url, "max_pages": max_pages}
    else:
        spec = {"kind": "url", "urls": [url], "columns": columns}
    _valid(spec)
    return spec


def _valid(spec: dict[str, Any]) -> Any:
    """Raises SetupError."""
    from domain.sources import SourceSpec

    try:
        return TypeAdapter[Any](SourceSpec).validate_python(spec)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        raise SetupError(f"{place}: {str(first['msg']).removeprefix('Value error, ')}.") from None
    except AppError as error:
        raise SetupError(error.message) from None


def _mapping(columns: dict[str, Any] | None) -> Any:
    from domain.sources import ColumnMapping

    return ColumnMapping.model_validate(columns) if columns else None
