"""Multiplexed streams between processes: one TCP connection per pair carries every turn of the pair."""

from actors.streams.limits import Limits
from actors.streams.pool import StreamPool
from actors.streams.server import StreamServer

__all__ = ["Limits", "StreamPool", "StreamServer"]
