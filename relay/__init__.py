"""arc-relay: a blind WebSocket relay that joins two endpoints with the same pair code."""

from .events import (
    Event,
    Observer,
    PairEnded,
    PairJoined,
    Probed,
    Refused,
    Stopping,
    TlsHandshakeFailed,
)
from .outcome import Outcome
from .server import RelayHandle, serve_relay
from .settings import RelaySettings
from .statistics import RelayStatistics
from .tls_failure import TlsFailure

__all__ = [
    "Event",
    "Observer",
    "Outcome",
    "PairEnded",
    "PairJoined",
    "Probed",
    "Refused",
    "RelayHandle",
    "RelaySettings",
    "RelayStatistics",
    "Stopping",
    "TlsFailure",
    "TlsHandshakeFailed",
    "serve_relay",
]
