"""Buffer of stream data that was received and that the program has not consumed. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

from .errors import ProtocolViolation

SMALL: Final = 1024
"""Size, in bytes, below which messages are merged, because each object costs extra memory."""

MAX_MERGED: Final = 64_000
"""Size, in bytes, of a piece that is too large to merge another message into it."""


class Inbox:
    """Bytes that were received and that the program has not consumed yet.

    Positions count the bytes of the stream from 0. The end of the stream counts as one more byte.

    Args:
        window: Maximum number of bytes in the buffer.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self._pieces = deque[bytes | bytearray]()
        self._offset = 0
        """Number of bytes that the program has consumed from the first piece."""
        self.length = 0
        """Number of bytes received."""
        self.consumed_bytes = 0
        """Number of bytes that the program has consumed."""
        self.ended = False
        """True if the stream has ended. Its last bytes may not be consumed yet."""

    @property
    def received(self) -> int:
        """Position up to which the stream was received, including the end of the stream."""
        return self.length + self.ended

    @property
    def consumed(self) -> int:
        """Position up to which the program has consumed the stream.

        The program consumes the end of the stream together with its last byte.
        """
        return self.consumed_bytes + (self.ended and not self._pieces)

    @property
    def is_empty(self) -> bool:
        """True if the buffer contains no bytes."""
        return not self._pieces

    def receive(self, data: bytes) -> None:
        """Append the next bytes of the stream.

        Raises:
            ProtocolViolation: The bytes exceed the window, or follow the end.
        """
        if self.ended:
            raise ProtocolViolation("DATA after the end of the stream")
        self.length += len(data)
        if self.length > self.consumed_bytes + self.window:
            raise ProtocolViolation("DATA exceeds the window")
        if len(data) >= SMALL:
            self._pieces.append(data)
        elif (last := self._last_merged()) is not None:
            last += data
        else:
            self._pieces.append(bytearray(data))

    def end(self) -> None:
        """End the stream.

        Raises:
            ProtocolViolation: The stream has already ended.
        """
        if self.ended:
            raise ProtocolViolation("END after the end of the stream")
        self.ended = True

    def read(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Consume and return the rest of the first piece, but at most ``max_bytes`` bytes."""
        piece = self._pieces[0]
        end = len(piece) if max_bytes is None else min(len(piece), self._offset + max_bytes)
        data = piece[self._offset : end]
        if end == len(piece):
            self._pieces.popleft()
            self._offset = 0
        else:
            self._offset = end
        self.consumed_bytes += len(data)
        return data

    def discard(self) -> None:
        """Consume all bytes in the buffer without returning them."""
        self._pieces.clear()
        self._offset = 0
        self.consumed_bytes = self.length

    def free(self) -> None:
        """Free the memory; call this when the session is over, and nothing else afterwards."""
        self._pieces.clear()

    def _last_merged(self) -> bytearray | None:
        """Return the last piece; None if no small message may be merged into it."""
        last = self._pieces[-1] if self._pieces else None
        return last if isinstance(last, bytearray) and len(last) < MAX_MERGED else None
