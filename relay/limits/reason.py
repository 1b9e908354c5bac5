"""Reasons to refuse a client. The server chooses the HTTP response for each reason."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple


class Reason(Enum):
    """Reason why a client is refused."""

    RELAY_IS_FULL = auto()
    TOO_MANY_CONNECTIONS = auto()
    TOO_MANY_ATTEMPTS = auto()
    TOO_MANY_WAITING = auto()
    TOKEN_REQUIRED = auto()
    """The client tried to start a new pair without the token."""
    NO_AUTHORIZED_HOST = auto()
    """Neither the client nor a side that waits with the client's code has shown the token.

    The relay gives this reason only if the code was in use when the request arrived.
    """


class Refusal(NamedTuple):
    """Reason for refusing a client, and the seconds after which the client may retry, if known."""

    reason: Reason
    retry_after: float | None = None
