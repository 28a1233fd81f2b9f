"""What the process that opens an archive or a table may use, and how much may come out of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExpandLimits:
    memory_bytes: int
    cpu_seconds: int
    item_bytes: int
    """Of one file or row."""
    total_bytes: int
    entries: int
    ratio: int
    rows: int


def too_large_sentence(max_bytes: int) -> str:
    return f"The file is larger than {max_bytes / 1024 / 1024:,.3g} MiB."
