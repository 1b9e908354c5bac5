"""A pair with a broken side leaves nothing behind, and ends at once."""

from __future__ import annotations

import gc

import pytest
import trio
import trio.testing

from relay import RelaySettings
from relay.pairing.side import Side
from tests.support.raw_client import Client
from tests.support.relay_fixtures import MemoryRelay, TcpRelay

BROKEN = (1011, "peer disconnected")


def sides() -> int:
    """Return the number of sides in memory, without a search for cycles."""
    return sum(type(each) is Side for each in gc.get_objects())


async def test_memory(tcp_relay: TcpRelay) -> None:
    """A pair with a broken side is freed without the cyclic garbage collector."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            a, b = await tcp_relay.pair()
            await a.send_message(b"last words")
            assert await b.message() == b"last words"
            await a.reset()
            assert await b.closed() == BROKEN
            while tcp_relay.handle.statistics().connections:
                await trio.sleep(0.01)
        assert sides() == 0
    finally:
        gc.enable()


class Breaking(trio.abc.ReceiveStream):
    """Stream that breaks in place of its end."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = await self._stream.receive_some(max_bytes)
        if not data:
            raise trio.BrokenResourceError
        return bytes(data)

    async def aclose(self) -> None:
        await self._stream.aclose()


def breaking_pair() -> tuple[trio.abc.Stream, trio.abc.Stream]:
    """Return the client's end and the relay's end of a stream that breaks."""
    client, server = trio.testing.memory_stream_pair()
    return client, trio.StapledStream(server.send_stream, Breaking(server.receive_stream))


@pytest.mark.parametrize("settings", [RelaySettings(max_bytes_per_second=10, ping_interval=0)])
async def test_message_is_charged_once(
    memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
) -> None:
    """The last message of a broken side is charged once, and does not delay the end of the pair."""
    async with Client(await memory_relay.listener.connect(breaking_pair)) as a:
        await a.upgrade("/?pair=code")
        b = await memory_relay.join("code")
        await a.send_message(bytes(100))
        assert len(await b.message()) == 100
        await trio.sleep(60)
        start = trio.current_time()
        await a.stream.aclose()
        assert await b.closed() == BROKEN
        assert trio.current_time() == start
