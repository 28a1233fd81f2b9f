"""The web outside as a place to read from: only public addresses, resolved once and pinned."""

from storage.web.fetcher import AGENT, Fetched, FetchFailed, SafeFetcher
from storage.web.transport import Resolve, SafeTransport, resolve

__all__ = ["AGENT", "FetchFailed", "Fetched", "Resolve", "SafeFetcher", "SafeTransport", "resolve"]
