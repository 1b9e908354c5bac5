"""Events of an endpoint, for the display of its state. They hold no secret."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .errors import EndpointError


@dataclass(frozen=True, slots=True)
class Waiting:
    """The relay accepted the connection with the link code. The peer has not come yet."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A session is connected to its peer, for the first time or again."""

    session_id: str
    """Random name of the session, which differs between the endpoints."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A session has lost its connection."""

    session_id: str
    reason: str
    """Cause in one line."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """An attempt to connect failed."""

    session_id: str | None
    """Name of the session; None for the connection with the link code."""
    reason: str
    """Cause in one line."""
    delay: float
    """Seconds until the next attempt."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A session is over."""

    session_id: str
    error: EndpointError | None
    """Cause of a failure; None for a clean end."""


ClientEvent = Waiting | Connected | Lost | Retrying | Ended

OnEvent = Callable[[ClientEvent], None]


def ignore(event: ClientEvent) -> None:
    """Do nothing."""
