"""No end of a pair leaves objects of the relay to the cyclic garbage collector."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from relay import RelaySettings
from relay.protocol.reframer import MAX_EMPTY_FRAGMENTS
from tests.support.cycles import no_cycles
from tests.support.raw_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    Client,
    encode,
    encode_close,
)
from tests.support.running_relay import WatchedRelay, running

RESET = struct.pack("ii", 1, 0)
"""Linger for no time: closing resets the connection."""

End = Callable[[WatchedRelay, Client, Client], Awaitable[None]]


async def open_client(relay: WatchedRelay) -> Client:
    """Return a client on TCP."""
    return await relay.connect_from("127.0.0.1")


@asynccontextmanager
async def relay_on_tcp(**settings: Any) -> AsyncIterator[WatchedRelay]:
    """Run a relay on a TCP port, because only sockets use the epoll reader."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with running(listeners=listeners, close_timeout=0.5, **settings) as relay:
        yield relay


async def close(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Send a close frame behind a large message."""
    await a.send(encode(BINARY, bytes(60_000)) + encode_close(1000))
    await b.message()
    await b.closed()


async def send_invalid_close(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Send an invalid close frame."""
    await a.send(encode_close(1005))
    await b.closed()


async def end(relay: WatchedRelay, a: Client, b: Client) -> None:
    """End the stream without a close frame, inside a message."""
    await a.send(encode(BINARY, bytes(100_000), fin=False)[:70_000])
    await a.stream.aclose()
    await b.last_frames()


async def reset(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Reset the connection."""
    assert isinstance(a.stream, trio.SocketStream)
    a.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    await a.stream.aclose()
    await b.closed()


async def violate(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Violate a rule behind many tiny messages in the same read."""
    await a.send(encode(BINARY, b"x") * 8000 + encode(0x3))
    await b.last_frames()


async def violate_inside_a_message(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Violate a rule with part of a message buffered, behind pings."""
    await a.send(encode(BINARY, bytes(50_000), fin=False) + encode(PING) * 100 + encode(0x3))
    await b.closed()


async def send_too_much(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Send a message above the limit."""
    await a.send(encode(BINARY, bytes(200_001)))
    await b.closed()


async def flood_with_empty_fragments(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Send more empty fragments than a message may have."""
    count = MAX_EMPTY_FRAGMENTS + 2
    await a.send(encode(TEXT, fin=False) + encode(CONTINUATION, fin=False) * count)
    await b.closed()


async def wait_for_the_relay(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Wait until the relay ends the pair, and answer no ping."""
    for client in (a, b):
        while (await client.frame()).opcode != CLOSE:
            pass


async def connect_third(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Connect a third client to the code of two clients that answer nothing."""
    new_client = await open_client(relay)
    await new_client.upgrade("/?pair=code")


async def pass_the_limit(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Send more than the pair may forward."""
    await a.send_message(bytes(60_000))
    await b.message()
    await b.closed()


async def stop(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Stop the relay while clients are connected."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(relay.handle.stop)
        await a.closed()
        await b.closed()


QUICK: dict[str, Any] = {"ping_interval": 0.1, "ping_timeout": 0.1}
ENDS: list[tuple[End, dict[str, Any]]] = [
    (close, {}),
    (send_invalid_close, {}),
    (end, {}),
    (reset, {}),
    (violate, {}),
    (violate_inside_a_message, {}),
    (send_too_much, {"max_message_size": 200_000}),
    (flood_with_empty_fragments, {}),
    (wait_for_the_relay, QUICK),
    (wait_for_the_relay, {"max_pair_seconds": 0.2}),
    (connect_third, {"takeover_timeout": 0.2}),
    (pass_the_limit, {"max_pair_bytes": 50_000}),
    (pass_the_limit, {"max_pair_bytes": 50_000, "max_bytes_per_second": 1_000_000}),
    (stop, {}),
]


@pytest.mark.parametrize(("how", "settings"), ENDS)
async def test_pair(how: End, settings: dict[str, Any]) -> None:
    """Every end of a pair frees all objects of the pair at once."""
    with no_cycles():
        async with relay_on_tcp(**settings) as relay:
            a, b = await open_client(relay), await open_client(relay)
            await a.upgrade("/?pair=code")
            await b.upgrade("/?pair=code")
            await how(relay, a, b)
            await relay.disconnect_all()


LONELY_ENDS: dict[str, bytes] = {
    "close": encode_close(1000),
    "violation": encode(BINARY, b"x") * 8000 + encode(0x3),
    "end": encode(BINARY, bytes(1000)),
    "end-past-the-limit": encode(BINARY, bytes(80_000)),
    "reset-past-the-limit": encode(BINARY, bytes(400_000)),
}


@pytest.mark.parametrize("sent", LONELY_ENDS.values(), ids=LONELY_ENDS.keys())
async def test_side_that_waits(sent: bytes) -> None:
    """Every end of a waiting side frees all objects of the side at once."""
    with no_cycles():
        async with relay_on_tcp(ping_interval=0.5) as relay:
            a = await open_client(relay)
            await a.upgrade("/?pair=code")
            with trio.move_on_after(0.5):  # past the limit a send may wait for ever
                await a.send(sent)
            await relay.disconnect_all()


async def test_a_cycle_is_found() -> None:
    """The check finds a cycle of the relay's objects."""

    def leave_a_cycle() -> None:
        relay = WatchedRelay()
        splitter = RelaySettings()
        object.__setattr__(relay, "itself", (relay, splitter))

    with pytest.raises(AssertionError), no_cycles():
        leave_a_cycle()
