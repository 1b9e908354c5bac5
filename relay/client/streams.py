"""The two byte streams of a session. Pure.

Positions count the bytes of a stream from 0. The end of the stream counts as one more byte. When
the session is over, `free` frees the memory, and no other method may be called.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from .errors import ProtocolViolation

PIECE: Final = 64_000  # maximum number of stream bytes in one message
SMALL: Final = 1024  # size of received messages that are not merged; each object costs memory


class Inbox:
    """Bytes that were received, at most `window`, and that the program has not consumed yet."""

    def __init__(self, window: int) -> None:
        self.window = window
        self._pieces = deque[bytes | bytearray]()
        self._offset = 0  # number of bytes consumed from the first piece
        self.length = 0  # number of bytes received
        self.consumed_bytes = 0
        self.ended = False  # True if the stream has ended, even if bytes are not consumed yet

    @property
    def received(self) -> int:
        """Position up to which the stream was received."""
        return self.length + self.ended

    @property
    def consumed(self) -> int:
        """Position up to which the stream is consumed. Its last byte consumes the end, too."""
        return self.consumed_bytes + (self.ended and not self._pieces)

    @property
    def is_empty(self) -> bool:
        """True if the buffer contains no bytes."""
        return not self._pieces

    def receive(self, data: bytes) -> None:
        """Append the next bytes. Raises ProtocolViolation beyond the window or the end."""
        if self.ended:
            raise ProtocolViolation("DATA after the end of the stream")
        self.length += len(data)
        if self.length > self.consumed_bytes + self.window:
            raise ProtocolViolation("DATA exceeds the window")
        last = self._pieces[-1] if self._pieces else None
        if len(data) >= SMALL:
            self._pieces.append(data)
        elif isinstance(last, bytearray) and len(last) < PIECE:
            last += data
        else:
            self._pieces.append(bytearray(data))

    def end(self) -> None:
        """End the stream. Raises ProtocolViolation if it has already ended."""
        if self.ended:
            raise ProtocolViolation("END after the end of the stream")
        self.ended = True

    def read(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Consume and return the rest of the first piece, but at most ``max_bytes`` bytes."""
        piece = self._pieces[0]
        end = len(piece) if max_bytes is None else min(len(piece), self._offset + max_bytes)
        data = piece[self._offset : end]
        self._offset = end
        if end == len(piece):
            self._pieces.popleft()
            self._offset = 0
        self.consumed_bytes += len(data)
        return data

    def discard(self) -> None:
        """Consume all bytes in the buffer without returning them."""
        self.free()
        self._offset = 0
        self.consumed_bytes = self.length

    def free(self) -> None:
        """Free the memory."""
        self._pieces.clear()


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
