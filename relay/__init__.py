"""arc-relay: a blind WebSocket relay that joins two endpoints with the same pair code."""

from .server import RelayHandle, RelayStatistics, serve_relay
from .settings import RelaySettings

__all__ = ["RelayHandle", "RelaySettings", "RelayStatistics", "serve_relay"]
