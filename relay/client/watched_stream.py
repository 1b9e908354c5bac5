"""A stream that reports when it ends, and limits the bytes that precede a whole message."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio


class WatchedStream(trio.abc.Stream):
    """Wrapper of a stream for trio-websocket.

    `ended` reports the end of the stream, because trio-websocket may wait forever on a stream that
    has ended. The stream also ends when it has received more than `allowance` bytes. The owner of
    the stream resets `allowance` after each message. So neither empty fragments nor an endless
    response body can fill the memory.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.allowance: float = math.inf  # number of bytes that the stream may still receive
        self.ended = trio.Event()  # set at the end of the stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._stream.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.ended.set()
            raise
        self.allowance -= len(data)
        if not data or self.allowance < 0:
            self.ended.set()
            return b""
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def before_end(self, action: Callable[[], Awaitable[object]]) -> bool:
        """Run an action of trio-websocket, and cancel it at the end of the stream.

        Returns True if the action succeeded. Without this method, the action might wait forever.
        """
        done = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_after, self.ended, nursery.cancel_scope)
            with suppress(Exception):
                await action()
                done = True
            nursery.cancel_scope.cancel()
        return done

    async def aclose(self) -> None:
        self.ended.set()
        await self._stream.aclose()


async def cancel_after(event: trio.Event, scope: trio.CancelScope) -> None:
    """Cancel ``scope`` once ``event`` is set."""
    await event.wait()
    scope.cancel()
