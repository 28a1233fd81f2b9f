"""Reads a multipart body as it arrives: files are spooled to disk, hashed and bounded before anything is stored."""

from collections.abc import AsyncIterator
from types import TracebackType

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from domain.errors import AppError, InvalidInput, TooLarge, Unprocessable
from pipelines.sources.content import Content
from pipelines.sources.naming import display_name

MAX_FILES = 20
FIELDS = frozenset(("chunking", "metadata", "source"))
"""Plain fields that are kept; others are ignored."""
MAX_FIELD_BYTES = 32 * 1024
_MAX_HEADER_BYTES = 16 * 1024
_LINGER_BYTES = 16 * 1024 * 1024
"""Read and thrown away after a refusal, so that the client sees the answer and not a broken connection."""


class UploadedFile(Content):
    """A file of the body; `declared` is the media type that the client says."""

    def __init__(self, name: str, declared: str | None) -> None:
        super().__init__()
        self.name = name
        self.declared = declared


class Upload:
    """`async with Upload(request, limit) as files`: every file of the body, each at most `limit` bytes.

    `fields` are the plain fields of the form that say something about all of them.

    Raises TooLarge, Unprocessable without a file, InvalidInput for a body that is no multipart form.
    """

    def __init__(self, request: Request, limit: int) -> None:
        self._request = request
        self._limit = limit
        self._files: list[UploadedFile] = []
        self._events: list[tuple[str, bytes]] = []
        self._headers: dict[str, bytes] = {}
        self._header_bytes = 0
        self._file: UploadedFile | None = None
        self._plain: bytearray | None = None
        """The content of the present plain field, unless it is ignored."""
        self._fields: dict[str, bytearray] = {}
        self._complete = False

    @property
    def fields(self) -> dict[str, bytes]:
        """Content by name, of those in FIELDS that were sent."""
        return {name: bytes(content) for name, content in self._fields.items()}

    @property
    def present(self) -> str | None:
        """The name of the file that was being read, where reading ended early."""
        return self._file.name if self._file else None

    async def __aenter__(self) -> list[UploadedFile]:
        try:
            await self._read()
        except BaseException:
            self._close()
            raise
        return self._files

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        for file in self._files:
            file.close()

    async def _read(self) -> None:
        parser = self._parser()
        received = 0
        refused_at: int | None = None
        refusal: AppError | None = None
        async for data in _chunks(self._request):
            received += len(data)
            if refusal is None:
                try:
                    if received > self._limit * MAX_FILES:
                        raise TooLarge("The upload is too large; send fewer files at once.")
                    _feed(parser, data)
                    await self._apply()
                except AppError as error:
                    refusal, refused_at = error, received
            elif refused_at is not None and received > refused_at + _LINGER_BYTES:
                break
        if refusal is not None:
            raise refusal
        if not self._complete:
            raise InvalidInput("The upload ended too early; send it again.")
        if not self._files:
            raise Unprocessable("Attach at least one file in the field `files`.")

    def _parser(self) -> MultipartParser:
        kind, options = parse_options_header(self._request.headers.get("content-type", ""))
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise InvalidInput("Send the files as multipart/form-data.")

        def note(event: str) -> "object":
            return lambda data=b"", start=0, end=0: self._events.append((event, data[start:end]))

        names = (
            "part_begin",
            "part_data",
            "part_end",
            "header_field",
            "header_value",
            "header_end",
            "headers_finished",
            "end",
        )
        return MultipartParser(boundary, {f"on_{name}": note(name) for name in names})  # type: ignore[arg-type]

    async def _apply(self) -> None:
        """Act on what the parser found in the last chunk."""
        events, self._events = self._events, []
        for event, data in events:
            match event:
                case "part_begin":
                    self._headers, self._header_bytes, self._field, self._value = {}, 0, b"", b""
                case "header_field":
                    self._field += self._counted(data)
                case "header_value":
                    self._value += self._counted(data)
                case "header_end":
                    self._headers[self._field.decode("latin-1").lower()] = self._value
                    self._field = self._value = b""
                case "headers_finished":
                    self._file = self._begin()
                case "part_data":
                    await self._take(data)
                case "part_end":
                    self._file = self._plain = None
                case "end":
                    self._complete = True

    async def _take(self, data: bytes) -> None:
        """Content of the present part, unless it is ignored."""
        if self._file is not None:
            await self._file.write(data)
            if self._file.size > self._limit:
                raise TooLarge(f"{self._file.name} is larger than {self._limit / 1024 / 1024:,.0f} MiB.")
        elif self._plain is not None:
            self._plain += data
            if len(self._plain) > MAX_FIELD_BYTES:
                raise TooLarge(f"A field of the form has at most {MAX_FIELD_BYTES // 1024} KiB.")

    def _counted(self, data: bytes) -> bytes:
        self._header_bytes += len(data)
        if self._header_bytes > _MAX_HEADER_BYTES:
            raise InvalidInput("The upload's headers are too large.")
        return data

    def _begin(self) -> UploadedFile | None:
        """A new file, or None for a plain field."""
        _, options = parse_options_header(self._headers.get("content-disposition", b""))
        if b"filename" not in options:
            name = options.get(b"name", b"").decode("utf-8", "replace")
            if name in self._fields:
                raise InvalidInput(f"The field `{name}` comes twice.")
            if name in FIELDS:
                self._plain = self._fields[name] = bytearray()
            return None
        if len(self._files) >= MAX_FILES:
            raise TooLarge(f"Send at most {MAX_FILES} files at once.")
        declared = self._headers.get("content-type", b"").decode("latin-1")[:200] or None
        file = UploadedFile(display_name(options[b"filename"].decode("utf-8", "replace")), declared)
        self._files.append(file)
        return file


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for data in request.stream():
            if data:
                yield data
    except ClientDisconnect as error:
        raise InvalidInput("The upload was cut off; send it again.") from error


def _feed(parser: MultipartParser, data: bytes) -> None:
    try:
        parser.write(data)
    except FormParserError as error:
        raise InvalidInput("The body is not a valid multipart form.") from error
