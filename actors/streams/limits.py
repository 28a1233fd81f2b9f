"""Bounds of a stream connection, the same on both sides."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes are bytes and times are seconds unless the name says otherwise."""

    frame: int = 8 * 1024 * 1024
    hello_frame: int = 1024
    """Largest frame of a peer that has not proved itself yet."""
    queue_items: int = 4_096
    """Items that may wait for one consumer before its stream is cancelled."""
    streams: int = 10_000
    """Streams that may run at once on one connection."""
    greeting_peers: int = 256
    """Connections of a server that may be unproven at once."""
    write_high: int = 256 * 1024
    """Unsent bytes at which the producing streams pause."""
    write_max: int = 64 * 1024 * 1024
    """Unsent bytes at which the connection is dropped: a peer that asks and never reads."""
    stuck_after: float = 30.0
    """How long producers may stay paused before the connection is dropped."""
    connect_within: float = 3.0
    hello_within: float = 5.0
    heartbeat_every: float = 5.0
    dead_after: float = 15.0
    close_within: float = 5.0
