"""Third-party clients are joined with each other, and their messages arrive."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from typing import Final

import pytest
import trio
import trio.testing

from tests.support.node_ws import find_ws
from tests.support.raw_client import BINARY, CONTINUATION, PING, Client, Frame, encode, encode_close
from tests.support.relay_fixtures import TcpRelay
from tests.support.third_party_clients import (
    AsyncioClient,
    NodeClient,
    Open,
    Refused,
    SyncClient,
    ThirdPartyClient,
    TrioClient,
    TrioWebsocketClient,
)

PYTHON: Final[dict[str, Open]] = {
    "websockets-sync": SyncClient.open,
    "websockets-asyncio": AsyncioClient.open,
    "websockets-trio": TrioClient.open,
    "trio-websocket": TrioWebsocketClient.open,
}
NODE: Final = "node-ws"
GUESTS: Final = (*PYTHON, NODE)

SIZES: Final = (0, 1, 125, 126, 65_535, 65_536)
BIG: Final = 64 * 2**20
CALL_TIMEOUT: Final = 30.0
MAX_FRAGMENTS: Final = 4096
"""Maximum number of fragments of one message in `websockets` 17."""


class Clients:
    """Third-party clients by name. A test of a missing client is skipped."""

    def __init__(self, config: pytest.Config, factory: pytest.TempPathFactory) -> None:
        self._config = config
        self._factory = factory

    def __getitem__(self, name: str) -> Open:
        if name == NODE:
            return partial(NodeClient.open, find_ws(self._config, self._factory))
        if name == "websockets-trio" and find_spec("websockets.trio") is None:
            pytest.skip("this release of websockets has no client for trio")
        return PYTHON[name]


@pytest.fixture(scope="session")
def clients(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Clients:
    """Return the available clients."""
    return Clients(pytestconfig, tmp_path_factory)


@asynccontextmanager
async def joined(
    open_a: Open, open_b: Open, relay: TcpRelay
) -> AsyncIterator[tuple[ThirdPartyClient, ThirdPartyClient]]:
    """Connect two clients to each other, within a time limit."""
    with trio.fail_after(CALL_TIMEOUT):
        async with open_a(relay.url("code"), ()) as a, open_b(relay.url("code"), ()) as b:
            yield a, b


async def send_all(client: ThirdPartyClient, messages: list[bytes]) -> None:
    """Send every message."""
    for message in messages:
        await client.send(message)


@pytest.mark.parametrize("name_b", GUESTS)
@pytest.mark.parametrize("name_a", GUESTS)
async def test_messages_arrive_both_ways(
    tcp_relay: TcpRelay, clients: Clients, name_a: str, name_b: str
) -> None:
    """Binary messages of every size cross in both directions at once, for any two clients."""
    messages = [random.randbytes(size) for size in SIZES]
    big = random.randbytes(1_000_000)
    async with joined(clients[name_a], clients[name_b], tcp_relay) as (a, b):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all, a, messages)
            nursery.start_soon(send_all, b, messages[::-1])
            for expected_a, expected_b in zip(messages[::-1], messages, strict=True):
                assert await b.receive() == expected_b
                assert await a.receive() == expected_a
        # One way at a time: websockets on trio does not read while it waits to write.
        for source, sink in ((a, b), (b, a)):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(source.send, big)
                assert await sink.receive() == big


@pytest.mark.parametrize("name", GUESTS)
async def test_64_mib(tcp_relay: TcpRelay, clients: Clients, name: str) -> None:
    """A message of 64 MiB crosses the relay in either direction, byte for byte."""
    message = random.randbytes(BIG)
    async with joined(clients[name], clients["websockets-asyncio"], tcp_relay) as (a, b):
        for source, sink in ((a, b), (b, a)):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(source.send, message)
                arrived = await sink.receive()
            # Not one assertion: how the two differ would take minutes to explain.
            assert len(arrived) == BIG
            same = arrived == message
            assert same


@pytest.mark.parametrize("name", GUESTS)
async def test_text_is_dropped(tcp_relay: TcpRelay, clients: Clients, name: str) -> None:
    """Text messages are dropped, and the binary ones around them arrive."""
    async with joined(clients[name], clients["trio-websocket"], tcp_relay) as (a, b):
        for source, sink in ((a, b), (b, a)):
            await source.send("dropped")
            await source.send(b"one")
            await source.send("dropped as well " * 10_000)
            await source.send("")
            await source.send(b"two")
            assert await sink.receive() == b"one"
            assert await sink.receive() == b"two"


@pytest.mark.parametrize("name", sorted({*GUESTS} - {"trio-websocket"}))
async def test_sent_fragments(tcp_relay: TcpRelay, clients: Clients, name: str) -> None:
    """A message that a client sends in fragments arrives as one message."""
    fragments = [b"", b"a" * 10, b"", random.randbytes(200_000), b"z"]
    async with joined(clients[name], clients["websockets-asyncio"], tcp_relay) as (a, b):
        await a.send_fragments(fragments)
        await a.send(b"next")
        assert await b.receive() == b"".join(fragments)
        assert await b.receive() == b"next"


@pytest.mark.parametrize("name", GUESTS)
async def test_received_fragments(tcp_relay: TcpRelay, clients: Clients, name: str) -> None:
    """A message that the relay forwards in fragments is one message to a client."""
    raw = await tcp_relay.join("code")
    with trio.fail_after(CALL_TIMEOUT):
        async with clients[name](tcp_relay.url("code"), ()) as client:
            whole = encode(BINARY, b"half of it" * 2)
            await raw.send(whole[:-10])
            await client.ping()  # what came so far has been passed on
            await raw.send(whole[-10:])
            await raw.send(encode(BINARY, b"1", fin=False))
            await raw.send(encode(PING, b"between"))
            await raw.send(encode(CONTINUATION, b"2", fin=False) + encode(CONTINUATION, b"3"))
            assert await client.receive() == b"half of it" * 2
            assert await client.receive() == b"123"


async def test_slowly_sent_message(tcp_relay: TcpRelay) -> None:
    """A slow message of one frame is not cut into more fragments than clients accept."""
    message = random.randbytes(2 * MAX_FRAGMENTS)
    a, b = await tcp_relay.pair()
    frames: list[Frame] = []
    with trio.fail_after(CALL_TIMEOUT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle, a, encode(BINARY, message))
            while not frames or not frames[-1].fin:
                frames.append(await b.frame())
    assert b"".join(frame.payload for frame in frames) == message
    assert len(frames) <= MAX_FRAGMENTS


async def trickle(client: Client, data: bytes) -> None:
    """Send data so slowly that the relay reads it byte by byte."""
    for position in range(len(data)):
        await client.send(data[position : position + 1])
        await trio.testing.wait_all_tasks_blocked()


@pytest.mark.parametrize("name", GUESTS)
async def test_pings_are_answered(tcp_relay: TcpRelay, clients: Clients, name: str) -> None:
    """A client's ping is answered while it waits, and while it is joined."""
    with trio.fail_after(CALL_TIMEOUT):
        async with clients[name](tcp_relay.url("code"), ()) as client:
            await client.ping()
            raw = await tcp_relay.join("code")
            await client.ping()
            await client.send(b"no ping crossed the relay")
            assert await raw.message() == b"no ping crossed the relay"


@pytest.mark.parametrize("first", ["a", "b"])
@pytest.mark.parametrize("name", GUESTS)
async def test_client_closes(tcp_relay: TcpRelay, clients: Clients, name: str, first: str) -> None:
    """A client that closes gets its own code and reason back, and its peer gets 1000."""
    async with joined(clients[name], clients[name], tcp_relay) as (a, b):
        closer, other = (a, b) if first == "a" else (b, a)
        await closer.send(b"last words")
        echo = await closer.close(4321, "see you")
        assert echo in ((4321, "see you"), None)
        assert await other.receive() == b"last words"
        assert await other.closed() == (1000, "peer disconnected")


@pytest.mark.parametrize("name", GUESTS)
async def test_waiting_client_closes(tcp_relay: TcpRelay, clients: Clients, name: str) -> None:
    """A waiting client that closes gets its close frame echoed and frees its code."""
    with trio.fail_after(CALL_TIMEOUT):
        async with clients[name](tcp_relay.url("code"), ()) as client:
            assert await client.close(1000, "tired") in ((1000, "tired"), None)
            assert tcp_relay.handle.statistics().pairs == 0


@pytest.mark.parametrize("name", GUESTS)
@pytest.mark.parametrize(
    ("end", "code"),
    [("close", 1000), ("eof", 1000), ("reset", 1011), ("violation", 1011)],
)
async def test_client_is_closed(
    tcp_relay: TcpRelay, clients: Clients, name: str, end: str, code: int
) -> None:
    """A client gets 1000 after a close or an end of its peer, and 1011 after another end."""
    with trio.fail_after(CALL_TIMEOUT):
        async with clients[name](tcp_relay.url("code"), ()) as client:
            raw = await tcp_relay.join("code")
            if end == "reset":
                await raw.reset()
            elif end == "eof":
                await raw.send_eof()
            else:
                await raw.send(encode_close(1000) if end == "close" else encode(0xB, b""))
            assert await client.closed() == (code, "peer disconnected")


@pytest.mark.parametrize("name", GUESTS)
async def test_stopped(tcp_relay: TcpRelay, clients: Clients, name: str) -> None:
    """A stopping relay sends 1001 to every client, joined and waiting."""
    async with (
        joined(clients[name], clients[name], tcp_relay) as (a, b),
        clients[name](tcp_relay.url("alone"), ()) as waiting,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(tcp_relay.handle.stop)
        for client in (a, b, waiting):
            assert await client.closed() == (1001, "relay stopping")


@pytest.mark.parametrize("name", GUESTS)
async def test_subprotocol(tcp_relay: TcpRelay, clients: Clients, name: str) -> None:
    """The first subprotocol of a client is accepted; without an offer there is none."""
    with trio.fail_after(CALL_TIMEOUT):
        async with clients[name](tcp_relay.url("one"), ("terminal.v1", "other")) as client:
            assert client.subprotocol == "terminal.v1"
        async with clients[name](tcp_relay.url("two"), ()) as client:
            assert client.subprotocol is None


@pytest.mark.parametrize("name", GUESTS)
async def test_early_data(tcp_relay: TcpRelay, clients: Clients, name: str) -> None:
    """Data that a client sends before its peer has joined arrives first, in order."""
    early = [random.randbytes(size) for size in (10, 40_000, 1)]
    with trio.fail_after(CALL_TIMEOUT):
        async with clients[name](tcp_relay.url("code"), ()) as a:
            await send_all(a, early)
            await a.ping()  # the relay has read them
            async with clients[name](tcp_relay.url("code"), ()) as b:
                await a.send(b"late")
                for expected in (*early, b"late"):
                    assert await b.receive() == expected


@pytest.mark.parametrize("name", GUESTS)
@pytest.mark.parametrize(
    ("code", "status"), [("taken", 409), ("", 400), ("x" * 257, 400), ("%ff", 400)]
)
async def test_refused(
    tcp_relay: TcpRelay, clients: Clients, name: str, code: str, status: int
) -> None:
    """A refused client gets a failed handshake with the status, not a connection."""
    a, b = await tcp_relay.pair("taken")
    with trio.fail_after(CALL_TIMEOUT):
        with pytest.raises(Refused) as refusal:
            async with clients[name](tcp_relay.url(code), ()):
                pass
        assert refusal.value.status == status
        await a.send_message(b"undisturbed")
        assert await b.message() == b"undisturbed"
