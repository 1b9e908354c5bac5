"""A stream that reports its end, and bounds the bytes that it delivers unnoticed."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio


class WatchedStream(trio.abc.Stream):
    """Stream for trio-websocket, which waits for ever for the response on a stream that has ended.

    The stream ends if it receives more than ``allowance`` bytes. The owner of the stream raises
    the allowance when it has received a message. So neither empty fragments nor a body without
    end fills the memory.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.allowance: float = math.inf
        """Number of further bytes that the stream may receive."""
        self.ended = trio.Event()
        """Set at the end of the stream."""

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
        """Run an action until the stream ends; return True if the action succeeded.

        After the end of the stream, trio-websocket may wait for ever.
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
