"""arc-relay: a blind WebSocket relay that joins two endpoints with the same pair code.

The public API consists of the names in ``__all__``. All other names may change in any version.

Each public name is imported on first use. If this file imported all of them, the slow import of
trio would delay the entry point of the command ``arc-relay``, which sets the signal dispositions.
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

# Type checkers treat this name as True. It is not imported from typing, because that import takes
# as long as the start of Python.
TYPE_CHECKING = False

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
    """Module of each public name that ``events`` does not define."""

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f".{_MODULES.get(name, 'events')}", __name__)
        value = globals()[name] = getattr(module, name)
        return value

    def __dir__() -> list[str]:
        """List the names in this module, and the public names that are not imported yet."""
        return sorted({*globals(), *__all__})
