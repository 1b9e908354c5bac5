"""arc-relay: a blind WebSocket relay that joins two endpoints with the same pair code.

The public API is what this package exports. Everything else may change between two versions.

A public name is imported at its first use. The command imports this package before anything else,
and must set its signal dispositions before it imports trio, which takes most of the start-up time.
"""

from __future__ import annotations

from importlib import import_module

__all__ = [
    "Event",
    "Observer",
    "OpenPair",
    "Outcome",
    "PairEnded",
    "PairJoined",
    "ProxyNotTrusted",
    "RelayHandle",
    "RelaySettings",
    "RelayStatistics",
    "RelayStopping",
    "RequestRefused",
    "SideWaiting",
    "TakeoverChecked",
    "TextDropped",
    "TlsFailure",
    "TlsHandshakeFailed",
    "serve_relay",
]

TYPE_CHECKING = False  # type checkers assume True; to import typing takes as long as Python's start

if TYPE_CHECKING:
    from .events import (
        Event,
        Observer,
        PairEnded,
        PairJoined,
        ProxyNotTrusted,
        RelayStopping,
        RequestRefused,
        SideWaiting,
        TakeoverChecked,
        TextDropped,
        TlsHandshakeFailed,
    )
    from .outcomes import Outcome
    from .server.serve import RelayHandle, serve_relay
    from .server.statistics import OpenPair, RelayStatistics
    from .settings import RelaySettings
    from .transport.tls_failure import TlsFailure
else:
    _MODULES = {
        "OpenPair": "server.statistics",
        "Outcome": "outcomes",
        "RelayHandle": "server.serve",
        "RelaySettings": "settings",
        "RelayStatistics": "server.statistics",
        "TlsFailure": "transport.tls_failure",
        "serve_relay": "server.serve",
    }
    """Module of each public name that is not in ``events``."""

    def __getattr__(name: str) -> object:
        """Import a public name (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f".{_MODULES.get(name, 'events')}", __name__)
        value = globals()[name] = getattr(module, name)
        return value

    def __dir__() -> list[str]:
        """List the public names, including names that are not imported yet."""
        return sorted({*globals(), *__all__})
