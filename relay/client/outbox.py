"""Buffer of the bytes that a program has written and that its peer has not acknowledged. Pure.

Positions count the bytes of the stream from 0. The end of the stream counts as one more byte. When
the session is over, `free` frees the memory, and no other method may be called.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from .errors import ProtocolViolation

PIECE: Final = 64_000  # maximum number of stream bytes in one message


class Outbox:
    """Bytes that the peer has not acknowledged, at most `capacity`."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._pieces = deque[bytearray]()  # all but the last have `PIECE` bytes
        self._start = 0  # position of the first piece
        self._window = 0  # number of bytes that the peer buffers; 0 before its first RESUME
        self._credit_end = 0  # position up to which this window permits to send
        self._consumed = 0  # position of the last ACK of the peer
        self._delivered = 0  # highest position that the peer is known to have received
        self.length = 0  # number of bytes written by the program
        self.ended = False  # True if the program has ended the stream
        self.sent = 0  # position of the next byte to send in the current connection

    @property
    def room(self) -> int:
        """Number of bytes that the program may write now."""
        return self._capacity - (self.length - self._start)

    @property
    def acknowledged(self) -> int:
        """Number of bytes that the program of the peer has consumed."""
        return min(self._consumed, self.length)

    @property
    def is_acknowledged(self) -> bool:
        """True if the stream has ended, and the peer has acknowledged its end."""
        return self.ended and self._consumed > self.length

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append as many bytes as there is room for, and return their number."""
        view = rest = memoryview(data)[: self.room]
        while rest:
            if not self._pieces or len(self._pieces[-1]) == PIECE:
                self._pieces.append(bytearray())
            last = self._pieces[-1]
            room = PIECE - len(last)
            last += rest[:room]
            rest = rest[room:]
        self.length += len(view)
        return len(view)

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
        """Continue at the position in RESUME. Raises ProtocolViolation if this is not possible."""
        if not self._delivered <= received <= self.length + self.ended:
            raise ProtocolViolation("position of RESUME is not one that can continue the stream")
        if self._window not in (0, window):
            raise ProtocolViolation("window of RESUME has changed")
        self._window = window
        self._credit_end = self._consumed + window
        self.sent = received
        self._drop(received)

    def acknowledge(self, position: int) -> None:
        """Move the window forward. Raises ProtocolViolation for a position that is not valid."""
        if not self._consumed <= position <= self.sent:
            raise ProtocolViolation("position of ACK was not sent, or goes back")
        self._consumed = position
        self._credit_end = position + self._window
        self._drop(position)

    def free(self) -> None:
        """Free the memory."""
        self._pieces.clear()

    def _drop(self, received: int) -> None:
        """Drop the pieces that the peer has received."""
        self._delivered = max(self._delivered, received)
        while self._pieces and self._start + len(self._pieces[0]) <= received:
            self._start += len(self._pieces.popleft())
