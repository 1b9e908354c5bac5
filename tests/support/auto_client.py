"""Client that reads and answers by itself, like any WebSocket library."""

from __future__ import annotations

import struct

import trio

from .raw_client import BINARY, CLOSE, CONTINUATION, PING, PONG, Client, encode


class AutoClient:
    """Reads all frames, answers pings and the close frame, and stores the messages."""

    def __init__(self, client: Client, nursery: trio.Nursery) -> None:
        self.client = client
        self.pings = 0
        self.payload = b""
        """Payloads of all binary messages, concatenated."""
        self.ended = trio.Event()
        self.close: tuple[int, str] | None = None
        """Code and reason of the received close frame."""
        self._sending = trio.Lock()
        nursery.start_soon(self._read)

    async def send_message(self, payload: bytes) -> None:
        """Send a message; replies wait until it is sent."""
        await self._send(encode(BINARY, payload))

    async def _send(self, frame: bytes) -> None:
        async with self._sending:
            await self.client.send(frame)

    async def closed(self) -> tuple[int, str]:
        """Return the code and reason of the close frame."""
        await self.ended.wait()
        assert self.close is not None
        return self.close

    async def _read(self) -> None:
        try:
            while self.close is None:
                frame = await self.client.frame()
                if frame.opcode == PING:
                    self.pings += 1
                    await self._send(encode(PONG, frame.payload))
                elif frame.opcode == CLOSE:
                    (code,) = struct.unpack_from("!H", frame.payload)
                    self.close = code, frame.payload[2:].decode()
                    await self._send(encode(CLOSE, frame.payload))
                elif frame.opcode != PONG:
                    assert frame.opcode in {BINARY, CONTINUATION}, frame
                    self.payload += frame.payload
        except (trio.EndOfChannel, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the test, or the relay, dropped it
        finally:
            self.ended.set()
