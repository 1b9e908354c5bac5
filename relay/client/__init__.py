"""Endpoints: the programs on both sides of a relay. The relay imports nothing of this room.

The names in ``__all__`` are the public API. `connect`, `serve` and `Session` need the extra
``client``, and are imported on their first use.
"""

from __future__ import annotations

from importlib import import_module

from .errors import (
    EndpointError,
    InvalidLink,
    NoRelay,
    PeerAborted,
    ProtocolViolation,
    Refused,
    ResumeTimeout,
    TargetError,
    WaitTimeout,
    WrongKey,
)
from .events import ClientEvent, Connected, Ended, Lost, Retrying, Waiting
from .link import Link

__all__ = [
    "ClientEvent",
    "Connected",
    "Ended",
    "EndpointError",
    "InvalidLink",
    "Link",
    "Lost",
    "NoRelay",
    "PeerAborted",
    "ProtocolViolation",
    "Refused",
    "ResumeTimeout",
    "Retrying",
    "Session",
    "TargetError",
    "WaitTimeout",
    "Waiting",
    "WrongKey",
    "connect",
    "serve",
]

# Type checkers assume that this is True. An import of typing takes as long as Python's own start.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from .guest import connect
    from .host import serve
    from .session import Session
else:

    def __getattr__(name: str) -> object:
        """Import a public name on its first use (PEP 562)."""
        modules = {"Session": "session", "connect": "guest", "serve": "host"}
        if name not in modules:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{modules[name]}", __name__), name)
        return value

    def __dir__() -> list[str]:
        """List the names of the module, including public names that are not imported yet."""
        return sorted({*globals(), *__all__})
