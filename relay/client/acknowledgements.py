"""Decide when an endpoint acknowledges consumed data. Pure: the time is an argument."""

from __future__ import annotations

import math
from typing import Final

from .inbox import Inbox

ACK_SIZE: Final = 256 * 1024
"""Number of consumed bytes that an endpoint acknowledges without delay."""

ACK_DELAY: Final = 0.1
"""Delay, in seconds, of an ACK for fewer than `ACK_SIZE` bytes."""

REPEAT_DELAY: Final = 1.0
"""Seconds after its last message at which an endpoint repeats its ACK, if it has received data."""


class Acknowledgements:
    """State of the acknowledgements in one connection.

    Each connection starts with a new state, because ACKs may be lost with the previous connection.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._sent = 0
        """Position of the last ACK."""
        self._due_at: float | None = None
        """Time at which an ACK is due; None if nothing is scheduled."""
        self.is_answer_due = False
        """True if the peer has sent stream data since this endpoint last sent a message."""

    def is_urgent(self) -> bool:
        """Return True if an ACK must be sent or scheduled now."""
        return self._is_large() or (self._due_at is None and self._inbox.consumed > self._sent)

    def is_due(self, now: float, sent_at: float) -> bool:
        """Return True if an ACK is due now. Otherwise, schedule an ACK if one is needed.

        Args:
            now: Current time in seconds.
            sent_at: Time of the last message of this endpoint.
        """
        if self._inbox.consumed > self._sent and self._due_at is None:
            self._due_at = now + ACK_DELAY
        return self._is_large() or now >= self.next_time(sent_at)

    def next_time(self, sent_at: float) -> float:
        """Return the time at which the next ACK is due; infinity if none is scheduled."""
        repeat_at = sent_at + REPEAT_DELAY if self.is_answer_due else math.inf
        return repeat_at if self._due_at is None else min(repeat_at, self._due_at)

    def take(self) -> int:
        """Return the position to send in an ACK. Record this ACK as sent."""
        self._sent = self._inbox.consumed
        self._due_at = None
        return self._sent

    def _is_large(self) -> bool:
        """Return True if the ACK would cover `ACK_SIZE` bytes or the end of the stream."""
        inbox = self._inbox
        unacknowledged = inbox.consumed - self._sent
        return unacknowledged >= ACK_SIZE or (
            unacknowledged > 0 and inbox.consumed > inbox.consumed_bytes
        )
