"""What one file may cost to parse."""

from dataclasses import dataclass


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
