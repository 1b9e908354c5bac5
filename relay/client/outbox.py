"""Buffer of stream data that the program has written and the peer has not acknowledged. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

from .errors import ProtocolViolation

PIECE: Final = 64_000
"""Maximum number of stream bytes in one message."""


class Outbox:
    """Bytes that the peer has not acknowledged, and the position of the next byte to send.

    Positions count the bytes of the stream from 0. The end of the stream counts as one more byte.

    Args:
        capacity: Maximum number of bytes in the buffer.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._pieces = deque[bytearray]()
        """Bytes from `_start` on, in pieces of `PIECE` bytes. The last piece may be shorter."""
        self._start = 0
        self._credit_end = 0
        """Position up to which the window of the peer permits this endpoint to send."""
        self._window = 0
        self.length = 0
        """Number of bytes that the program has written."""
        self.ended = False
        """True if the program has ended the stream."""
        self.sent = 0
        """Position of the next byte to send in the current connection."""
        self._consumed = 0
        """Highest position in an ACK of the peer."""
        self.delivered = 0
        """Highest position that the peer is known to have received."""

    @property
    def room(self) -> int:
        """Number of bytes that the program may write now."""
        return self._capacity - (self.length - self._start)

    @property
    def unacknowledged(self) -> int:
        """Number of bytes that the program has written and the peer has not acknowledged."""
        return self.length - self.acknowledged

    @property
    def is_acknowledged(self) -> bool:
        """True if the stream has ended, and the peer has acknowledged its end."""
        return self.ended and self._consumed > self.length

    @property
    def acknowledged(self) -> int:
        """Number of bytes that the program of the peer has consumed."""
        return min(self._consumed, self.length)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append as many bytes as there is room for, and return their number."""
        view = memoryview(data)[: self.room]
        written = 0
        while written < len(view):
            if not self._pieces or len(self._pieces[-1]) == PIECE:
                self._pieces.append(bytearray())
            last = self._pieces[-1]
            part = view[written : written + PIECE - len(last)]
            last += part
            written += len(part)
        self.length += written
        return written

    def take_data(self) -> memoryview:
        """Return the next bytes to send, and count them as sent; empty if there are none.

        The caller must release the memoryview before it calls another method.
        """
        end = min(self.length, self._credit_end)
        if self.sent >= end:
            return memoryview(b"")
        index, offset = divmod(self.sent - self._start, PIECE)
        data = memoryview(self._pieces[index])[offset : offset + end - self.sent]
        self.sent += len(data)
        return data

    def take_end(self) -> bool:
        """If the end of the stream is next to send, count it as sent and return True."""
        if self.ended and self.sent == self.length < self._credit_end:
            self.sent += 1
            return True
        return False

    def resume(self, received: int, window: int) -> None:
        """Continue at the position that the peer gives at the beginning of a connection.

        Raises:
            ProtocolViolation: The position is lower than an earlier position, or is beyond the end
                of the stream. Or the window has changed.
        """
        if not self.delivered <= received <= self.length + self.ended:
            raise ProtocolViolation("position of RESUME is not one that can continue the stream")
        if self._window not in (0, window):
            raise ProtocolViolation("window of RESUME has changed")
        self._window = window
        self._credit_end = self._consumed + window
        self.delivered = self.sent = received
        self._drop(received)

    def acknowledge(self, position: int) -> None:
        """Drop the bytes before a position, and move the window forward.

        Raises:
            ProtocolViolation: The position was not sent, or is lower than the last position.
        """
        if not self._consumed <= position <= self.sent:
            raise ProtocolViolation("position of ACK was not sent, or goes back")
        self._consumed = position
        self._credit_end = position + self._window
        self.delivered = max(self.delivered, position)
        self._drop(position)

    def free(self) -> None:
        """Free the memory; call this when the session is over, and nothing else afterwards."""
        self._pieces.clear()

    def _drop(self, position: int) -> None:
        """Drop the pieces that end before a position."""
        pieces = self._pieces
        end = min(position, self.length)
        while pieces and self._start + len(pieces[0]) <= end:
            self._start += len(pieces.popleft())
