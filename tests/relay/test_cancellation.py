"""A relay that is cancelled at any moment ends every stream cleanly and leaves nothing behind."""

from __future__ import annotations

import struct
from functools import partial
from itertools import count

import pytest
import trio
import trio.testing

from relay import serve_relay
from tests.support.raw_client import (
    BINARY,
    CLOSE,
    PING,
    Client,
    encode,
    encode_close,
    upgrade_request,
)
from tests.support.relay_fixtures import MemoryRelay, is_empty

BROKEN = (trio.EndOfChannel, trio.BrokenResourceError, trio.ClosedResourceError)


class CancelAt(trio.abc.Instrument):
    """Instrument that cancels a scope before the given step of any task, counted from `arm`."""

    def __init__(self, step: int) -> None:
        self.scope = trio.CancelScope()
        self.fired = False
        self._step = step
        self._armed = False

    def arm(self) -> None:
        """Start to count."""
        self._armed = True

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._step -= self._armed
        if self._step == 0 and not self.fired:
            self.fired = True
            self.scope.cancel()


class Recorder(trio.abc.HalfCloseableStream):
    """Client's end of a stream that records all bytes from the relay."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.received = bytearray()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self._stream.receive_some(max_bytes))
        self.received += data
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        await self._stream.aclose()


async def live(client: Client, early: bytes, *, closes: bool) -> None:
    """Run one side of a pair: send, ping, receive, and close or be closed."""
    try:
        await client.send(upgrade_request("/?pair=code") + early)
        if (await client.response()).status != 101:
            return
        await client.send(encode(PING, b"ping") + encode(BINARY, bytes(300), fin=False))
        await client.send(encode(0, b"end"))
        while (frame := await client.frame()).opcode != CLOSE:
            if closes and frame.opcode == BINARY:
                await client.send(encode_close(1000))
        if not closes:
            await client.send(encode_close(1000))
        await client.rest()
    except BROKEN:
        pass


def check_stream(received: bytes) -> None:
    """Fail unless the bytes are a response and whole frames, without a frame behind a close."""
    head, _, rest = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 101"):
        assert not received, received
        return
    pos, closed = 0, False
    while pos < len(rest):
        assert not closed, "a frame after the close frame"
        length = rest[pos + 1]
        start = pos + 2
        if length == 126:
            (length,) = struct.unpack_from("!H", rest, start)
            start += 2
        closed = rest[pos] & 0xF == CLOSE
        if closed:
            assert rest[start : start + length] in CLOSE_PAYLOADS
        pos = start + length
    assert pos == len(rest), "a frame without its end"


CLOSE_PAYLOADS = {
    struct.pack("!H", code) + reason
    for code, reason in (
        (1000, b""),
        (1000, b"peer disconnected"),
        (1011, b"peer disconnected"),
        (1001, b"relay stopping"),
    )
}


async def scenario(instrument: CancelAt, *, lockstep: bool) -> None:
    """Run two clients, and a relay that is cancelled at a step or at the end."""
    relay = MemoryRelay()

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        with instrument.scope:
            async with trio.open_nursery() as nursery:
                serve = partial(serve_relay, listeners=[relay.listener])
                relay.handle = await nursery.start(serve)
                task_status.started()

    async with trio.open_nursery() as nursery:
        await nursery.start(serve)
        streams = [Recorder(await relay.open_stream(lockstep=lockstep)) for _ in range(2)]
        instrument.arm()
        nursery.start_soon(
            partial(live, Client(streams[0]), encode(BINARY, b"early"), closes=False)
        )
        nursery.start_soon(partial(live, Client(streams[1]), b"", closes=True))
        await trio.sleep(60)
        instrument.scope.cancel()
    assert is_empty(relay.handle.statistics())
    for stream in streams:
        check_stream(bytes(stream.received))


@pytest.mark.parametrize("lockstep", [False, True])
def test_cancelled_at_every_step(*, lockstep: bool) -> None:
    """A cancellation at any step ends the streams between frames and empties the tables."""
    for step in count(1):
        instrument = CancelAt(step)
        trio.run(
            partial(scenario, instrument, lockstep=lockstep),
            clock=trio.testing.MockClock(autojump_threshold=0),
            instruments=[instrument],
        )
        if not instrument.fired:
            break
    assert step > 50
