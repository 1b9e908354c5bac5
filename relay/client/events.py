"""Events that report the state of an endpoint to its program. They contain no secrets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .errors import EndpointError


@dataclass(frozen=True, slots=True)
class Waiting:
    """The relay accepted a connection with the link code. The peer has not joined yet."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A session was connected to its peer, for the first time or again."""

    session_id: str
    """Random name of the session. The two endpoints use different names."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A session has lost its connection."""

    session_id: str
    reason: str
    """Cause, in one line."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """An attempt to connect failed."""

    session_id: str | None
    """Name of the session; None for a connection with the link code."""
    reason: str
    """Cause, in one line."""
    delay: float
    """Seconds until the next attempt."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A session is over."""

    session_id: str
    error: EndpointError | None
    """Cause of the failure; None if the session did not fail."""


ClientEvent = Waiting | Connected | Lost | Retrying | Ended

OnEvent = Callable[[ClientEvent], None]
