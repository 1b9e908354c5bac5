"""Buffer of the bytes that were received and that the program has not consumed. Pure.

Positions and `free` are those of `Outbox`.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from .errors import ProtocolViolation

SMALL: Final = 1024  # size of received messages that are not merged; each object costs memory
MERGED: Final = 64_000  # size of a piece into which no further message is merged


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
        """Append the next bytes. Raises ProtocolViolation if they are not allowed."""
        if self.ended:
            raise ProtocolViolation("DATA after the end of the stream")
        self.length += len(data)
        if self.length > self.consumed_bytes + self.window:
            raise ProtocolViolation("DATA exceeds the window")
        last = self._pieces[-1] if self._pieces else None
        if len(data) >= SMALL:
            self._pieces.append(data)
        elif isinstance(last, bytearray) and len(last) < MERGED:
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
