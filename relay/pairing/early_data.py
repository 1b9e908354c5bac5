"""Early data: frames that side A sends before side B joins."""

from __future__ import annotations

from typing import Final

from ..transport.read_size import MIN_READ
from .ping_replies import answer_pings
from .side import Side

EARLY_DATA_LIMIT: Final = 64 * 1024
"""Maximum size, in bytes, of the early data, including an incomplete message.

The last read may exceed this maximum by up to `MIN_READ` bytes.
"""


class EarlyData:
    """Buffer for the early data of a waiting side, as frames for its peer."""

    __slots__ = ("_frames", "_side")

    def __init__(self, side: Side) -> None:
        self._side = side
        self._frames = bytearray()

    async def receive(self) -> None:
        """Buffer early data until the side departs. The caller cancels this once side B joins.

        Once `EARLY_DATA_LIMIT` is reached, this method stops reading and waits until the client
        disconnects. If the platform does not report the end of a stream, the method waits until it
        is cancelled. Cancellation loses no bytes.
        """
        side = self._side
        while side.departed is None and (
            (room := EARLY_DATA_LIMIT - len(self._frames) - side.reframer.buffered) > 0
        ):
            await side.receive(self._buffer, max(MIN_READ, room))
            await side.wait_for_rate_limit()
        if side.departed is None:
            with side.paused():
                await side.transport.wait_hangup()
            side.parse(b"")

    def _buffer(self, data: bytes) -> bool:
        """Buffer the frames from one read. Return True if the task of the side must wake up."""
        side = self._side
        frames, control = side.parse(data)
        answer_pings(side.transport, control)
        side.note_life()
        self._frames += frames
        kept = bool(frames) or side.reframer.buffered > 0  # the next read must be smaller
        return kept or side.departed is not None or side.rate_limited

    def take(self) -> bytes:
        """Remove the early data from the buffer, and return it as complete frames for the peer."""
        frames, self._frames = bytes(self._frames), bytearray()
        return frames
