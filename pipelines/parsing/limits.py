"""What one file may cost to parse."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class ParseLimits:
    cpu_seconds: int = 60
    wall_seconds: float = 600.0
    """Against waiting for ever. Parsing computes only while conversations leave the processor idle."""
    memory_bytes: int = 1536 * 1024 * 1024
    """Address space of the child process, code and libraries included."""
    output_bytes: int = 64 * 1024 * 1024
    """Largest result, as it travels from the child."""
    archive_entries: int = 5_000
    archive_bytes: int = 256 * 1024 * 1024
    """Largest unpacked total of a container format."""
    archive_ratio: int = 200
    """Largest unpacked total per packed byte, once the total is beyond `archive_ratio_floor`."""
    archive_ratio_floor: int = 16 * 1024 * 1024
    recognise_pages: int = 0
    """Of those that are pictures, how many have their text recognised; 0 leaves them all."""
    recognise_seconds: float = 0.0
    """After that no further page is begun."""
    recognise_threads: int = 2


RECOGNITION_BYTES = 4 * 1024 * 1024 * 1024
"""Address space with the models of recognition, their runtime and the picture of a page."""
LAST_PAGE_SECONDS = 60.0
"""For the page that was begun just in time, and for reading the file once more."""


def recognising(limits: ParseLimits, pages: int, seconds: float) -> ParseLimits:
    """The same, and what recognising the text of up to `pages` pictures takes, in about `seconds`."""
    wall = limits.wall_seconds + seconds + LAST_PAGE_SECONDS
    return replace(
        limits,
        cpu_seconds=limits.cpu_seconds + int(limits.recognise_threads * (seconds + LAST_PAGE_SECONDS)),
        wall_seconds=wall,
        memory_bytes=max(limits.memory_bytes, RECOGNITION_BYTES),
        recognise_pages=pages,
        recognise_seconds=seconds,
    )
