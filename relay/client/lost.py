"""The end of a WebSocket, and responses that refuse one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from .retry import parse_retry_after

ABNORMAL: Final = 1006
"""Close code of a connection without a close frame (RFC 6455 section 7.4.1)."""

GOING_AWAY: Final = 1001

PLAIN_WORDS: Final = re.compile(r"[A-Za-z0-9 ,.:;()'/-]{1,120}")
"""Reasons that are shown. The body of another server may hold anything, such as the code."""


class ConnectionLost(Exception):
    """A connection has ended, or could not be opened, and the endpoint may try again.

    Attributes:
        code: Close code; 1006 if there was no close frame.
        reason: Reason of the close frame.
        status: Status of the response that refused the connection; 0 for none.
        retry_after: Minimum delay in seconds.
    """

    def __init__(
        self,
        text: str,
        code: int = ABNORMAL,
        reason: str = "",
        *,
        status: int = 0,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(text)
        self.code = code
        self.reason = reason
        self.status = status
        self.retry_after = retry_after

    @property
    def is_expiry(self) -> bool:
        """True if the relay ended a side that waited for long, which is no failure."""
        return self.code == GOING_AWAY and self.reason != "relay stopping"

    @property
    def is_peer_gone(self) -> bool:
        """True if the relay says that the peer has left."""
        return self.reason == "peer disconnected"

    @property
    def is_collision(self) -> bool:
        """True if the code has two sides already."""
        return self.status == HTTPStatus.CONFLICT


class Rejected(Exception):
    """The response to the upgrade is an error status.

    Attributes:
        status: HTTP status.
        reason: Text of the relay; "" if the body is not plain words.
        retry_after: Seconds of Retry-After that apply; 0 for none.
        pair_hash: Hash that names the code in the log of the relay; None without Arc-Relay-Pair.
    """

    def __init__(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        super().__init__(f"status {status}")
        fields = {name.lower(): value for name, value in headers}
        self.status = status
        self.reason = plain_words(body.decode(errors="replace").strip())
        # A relay that restarts is back before the end of its Retry-After.
        is_restart = self.reason == "relay is stopping"
        value = fields.get(b"retry-after", b"").decode(errors="replace")
        self.retry_after = 0.0 if is_restart else parse_retry_after(value, status)
        pair = fields.get(b"arc-relay-pair", b"")
        self.pair_hash = pair.decode() if re.fullmatch(rb"[0-9a-f]{10}", pair) else None


def plain_words(text: str) -> str:
    """Return an untrusted text if it consists of plain words, and "" otherwise."""
    return text if PLAIN_WORDS.fullmatch(text) else ""
