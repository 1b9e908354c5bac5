"""Reasons for which a limit refuses a client. Pure: the server chooses the HTTP response."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple


class Reason(Enum):
    """Reason for which a client is refused."""

    RELAY_IS_FULL = auto()
    TOO_MANY_CONNECTIONS = auto()
    TOO_MANY_ATTEMPTS = auto()
    TOO_MANY_WAITING = auto()
    TOKEN_REQUIRED = auto()
    """The client would open a new code without the token."""
    NO_AUTHORIZED_HOST = auto()
    """Neither the client nor the side that it would join showed the token."""


class Refusal(NamedTuple):
    """Reason for a refusal, and the seconds after which the client may retry, if known."""

    reason: Reason
    retry_after: float | None = None
