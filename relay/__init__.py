"""arc-relay: a blind WebSocket relay, which joins two endpoints with the same pair code.

The public API consists of the names in ``__all__``. All other names may change in any version.

The module of a public name is imported when the name is first used. Otherwise, the entry point of
the command ``arc-relay``, a module of this package, could not set the signal dispositions before
the slow import of trio.
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

# Type checkers assume that this is True. Importing typing takes as long as starting Python.
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
    """Module that defines each public name, unless the name is defined in ``events``."""

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f".{_MODULES.get(name, 'events')}", __name__)
        value = globals()[name] = getattr(module, name)
        return value

    def __dir__() -> list[str]:
        """List the public names, including names that are not imported yet."""
        return sorted({*globals(), *__all__})
