"""Endpoints: the programs on both sides of a relay. The relay imports nothing of this room.

The names in ``__all__`` are the public API. The room needs the extra ``client``. Each public name
is imported on its first use.
"""

from __future__ import annotations

from importlib import import_module

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
    from .guest import connect
    from .host import serve
    from .link import Link
    from .session import Session
else:
    _MODULES = {
        "ClientEvent": "events",
        "Connected": "events",
        "Ended": "events",
        "Link": "link",
        "Lost": "events",
        "Retrying": "events",
        "Session": "session",
        "Waiting": "events",
        "connect": "guest",
        "serve": "host",
    }
    """Module of each public name that is not in ``errors``."""

    def __getattr__(name: str) -> object:
        """Import a public name on its first use (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f".{_MODULES.get(name, 'errors')}", __name__)
        value = globals()[name] = getattr(module, name)
        return value

    def __dir__() -> list[str]:
        """List the names of the module, including public names that are not imported yet."""
        return sorted({*globals(), *__all__})
