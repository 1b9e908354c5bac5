"""Decide when an endpoint acknowledges what its program has consumed. Pure: time is an argument."""

from __future__ import annotations

import math
from typing import Final

from .inbox import Inbox

ACK_SIZE: Final = 256 * 1024
"""Consumed bytes that are acknowledged at once."""

ACK_DELAY: Final = 0.1
"""Seconds after which consumed bytes are acknowledged."""

REPEAT_DELAY: Final = 1.0
"""Seconds after which an endpoint that received data, and sent nothing, repeats its ACK."""


class Acknowledgements:
    """Acknowledgements of one connection.

    An acknowledgement may be lost with its connection, so that a new connection begins with none.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._sent = 0
        """Position of the last ACK."""
        self._due_at: float | None = None
        """Time at which an ACK is due; None if nothing is scheduled."""
        self.is_answer_due = False
        """True if the peer sent a part of its stream after the last message of this endpoint."""

    def is_urgent(self) -> bool:
        """Return True if an ACK is due at once, or must be scheduled."""
        return self._is_large() or (self._due_at is None and self._inbox.consumed > self._sent)

    def is_due(self, now: float, sent_at: float) -> bool:
        """Return True if an ACK is due; schedule it otherwise.

        Args:
            now: Current time in seconds.
            sent_at: Time of the last message of this endpoint.
        """
        if self._inbox.consumed > self._sent and self._due_at is None:
            self._due_at = now + ACK_DELAY
        return self._is_large() or now >= self.next_time(sent_at)

    def next_time(self, sent_at: float) -> float:
        """Return the time at which an ACK is due; infinity for none."""
        repeat_at = sent_at + REPEAT_DELAY if self.is_answer_due else math.inf
        return repeat_at if self._due_at is None else min(repeat_at, self._due_at)

    def take(self) -> int:
        """Return the position for an ACK, and count it as sent."""
        self._sent = self._inbox.consumed
        self._due_at = None
        return self._sent

    def _is_large(self) -> bool:
        """Return True if many bytes, or the end of the stream, are not acknowledged."""
        inbox = self._inbox
        unacknowledged = inbox.consumed - self._sent
        return unacknowledged >= ACK_SIZE or (
            unacknowledged > 0 and inbox.consumed > inbox.consumed_bytes
        )
