"""The end of a WebSocket connection, and responses that refuse an upgrade. Pure."""

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
"""Pattern of texts that are safe to display. A response may come from a server that is not a relay,
and may then contain any text, even the code."""


class ConnectionLost(Exception):
    """A connection has ended, or could not be opened. The endpoint may try again.

    Attributes:
        code: Close code; 1006 if there was no close frame.
        reason: Reason in the close frame; "" if there is none.
        status: HTTP status of the response that refused the connection; 0 if there was none.
        retry_after: Minimum delay, in seconds, before the next attempt.
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
        """True if the relay ended the waiting side after `pair_ttl`. This is no failure."""
        return self.code == GOING_AWAY and self.reason != "relay stopping"

    @property
    def is_peer_gone(self) -> bool:
        """True if the relay closed the connection because the peer left."""
        return self.reason == "peer disconnected"

    @property
    def is_collision(self) -> bool:
        """True if the relay refused the connection because the code already has two sides."""
        return self.status == HTTPStatus.CONFLICT


class Rejected(Exception):
    """The server answered the upgrade with an error status.

    Attributes:
        status: HTTP status.
        reason: Body of the response; "" if it does not match `PLAIN_WORDS`.
        retry_after: Minimum delay, in seconds, that the response asks for; 0 for none.
        pair_hash: Hash that names the code in the log of the relay; None if the response has no
            valid Arc-Relay-Pair header.
    """

    def __init__(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        super().__init__(f"status {status}")
        fields = {name.lower(): value for name, value in headers}
        self.status = status
        self.reason = plain_words(body.decode(errors="replace").strip())
        # A relay that restarts is usually back before its Retry-After has passed.
        is_restart = self.reason == "relay is stopping"
        value = fields.get(b"retry-after", b"").decode(errors="replace")
        self.retry_after = 0.0 if is_restart else parse_retry_after(value, status)
        pair = fields.get(b"arc-relay-pair", b"")
        self.pair_hash = pair.decode() if re.fullmatch(rb"[0-9a-f]{10}", pair) else None


def plain_words(text: str) -> str:
    """Return an untrusted text if it matches `PLAIN_WORDS`, and "" otherwise."""
    return text if PLAIN_WORDS.fullmatch(text) else ""
