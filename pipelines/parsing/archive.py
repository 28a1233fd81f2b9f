"""Office files are zip archives: they are weighed before anything in them is unpacked."""

from io import BytesIO
from zipfile import BadZipFile, ZipFile

from domain.documents import IngestionFailure
from pipelines.parsing.limits import ParseLimits


def weigh_archive(data: bytes, limits: ParseLimits, folder: str, noun: str) -> None:
    """Raise IngestionFailure unless `data` is a zip with entries below `folder` and of a reasonable unpacked size.

    `noun` names the format in the sentence: "Word document". Declared sizes can be trusted as an upper bound, because
    the reader stops at them.
    """
    try:
        with ZipFile(BytesIO(data)) as archive:
            entries = archive.infolist()
    except (BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise IngestionFailure(damaged(noun) if data.startswith(b"PK") else foreign(noun)) from error
    total = sum(entry.file_size for entry in entries)
    if (
        len(entries) > limits.archive_entries
        or total > limits.archive_bytes
        or (total > limits.archive_ratio_floor and total > limits.archive_ratio * len(data))
    ):
        raise IngestionFailure(f"The {noun} unpacks to far more data than a document needs.")
    if any(entry.flag_bits & 1 for entry in entries):
        raise IngestionFailure(f"The {noun} is protected by a password.")
    if not any(entry.filename.lstrip("/").startswith(folder) for entry in entries):
        raise IngestionFailure(foreign(noun))


def damaged(noun: str) -> str:
    return f"The {noun} is damaged and cannot be read."


def foreign(noun: str) -> str:
    return f"The file is not a {noun}."
