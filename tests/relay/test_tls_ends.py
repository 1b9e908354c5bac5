"""The relay's own TLS ends with close_notify, so that a client can tell an end from a cut.

The clients in these tests fail if TCP ends without it.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.support.certificates import client_context
from tests.support.raw_client import BINARY, Client, encode, encode_close
from tests.support.running_relay import WatchedRelay
from tests.support.tls_peers import TlsPeer
from tests.support.tls_relays import connect, dial, join, pair, running_tls

STOPPING = (1001, "relay stopping")
LEFT = (1000, "peer disconnected")
BROKEN = (1011, "peer disconnected")


@pytest.fixture
def time_allowed() -> float:
    """Return the timeout of both handshakes, which a test of a timeout shortens."""
    return 10


@pytest.fixture
async def relay(
    tmp_path: Path, time_limit: None, time_allowed: float
) -> AsyncIterator[WatchedRelay]:
    """Run a relay with these timeouts."""
    async with running_tls(
        tmp_path, handshake_timeout=time_allowed, close_timeout=time_allowed
    ) as relay:
        yield relay


@pytest.mark.parametrize(
    ("request_", "status", "time_allowed"),
    [
        (b"GET /health HTTP/1.1\r\nHost: relay\r\n\r\n", 200, 10),
        (b"GET /nothing HTTP/1.1\r\nHost: relay\r\n\r\n", 404, 10),
        (b"no request\r\n\r\n", 400, 10),
        (b"GET /" + b"x" * 20000, 431, 10),
        (b"GET / HT", 408, 0.5),
    ],
)
async def test_answer(relay: WatchedRelay, request_: bytes, status: int) -> None:
    """The end of TLS, and then of TCP, follows every plain response."""
    client = await connect(relay)
    await client.send(request_)
    assert (await client.response()).status == status  # to the end of the stream
    tcp = client.stream
    assert isinstance(tcp, trio.SSLStream)
    assert await tcp.transport_stream.receive_some(1) == b""
    await relay.disconnect(client)


async def test_refused_while_it_sends(relay: WatchedRelay) -> None:
    """A refused client that is still sending is read on, so that it gets the response."""
    client = await connect(relay)
    async with trio.open_nursery() as sending:
        sending.start_soon(client.send, b"GET /" + b"x" * 2**20)
        assert (await client.response()).status == 431


async def test_closing_handshake(relay: WatchedRelay) -> None:
    """A side that closes gets its close frame back, then the end; its peer is closed likewise."""
    a, b = await pair(relay)
    await a.send(encode_close(4000, "bye"))
    assert await a.close_frame() == (4000, "bye")
    assert await a.rest() == b""
    assert await b.closed() == LEFT


async def test_violation(relay: WatchedRelay) -> None:
    """A side that violates a rule gets its close frame, and is read until it leaves."""
    a, b = await pair(relay)
    await a.send(encode(0x3))
    assert await a.close_frame() == (1002, "unknown opcode")
    assert await a.rest() == b""
    await a.send(bytes(1000))
    assert relay.table_sizes.connections == 2
    assert await b.closed() == BROKEN
    await relay.disconnect(a)


@pytest.mark.parametrize("time_allowed", [1])
async def test_stop(relay: WatchedRelay) -> None:
    """A relay that stops ends TLS for every side, also for one that does not answer."""
    waiting = await join(relay, "waiting")
    a, b = await pair(relay)
    async with trio.open_nursery() as stopping:
        stopping.start_soon(relay.handle.stop)
        for client in (waiting, a):
            assert await client.closed() == STOPPING
        assert await b.close_frame() == STOPPING
        assert await b.rest() == b""


async def test_client_ends_tls(relay: WatchedRelay) -> None:
    """A side that ends TLS has left, and gets the end of TLS in return; it is not broken."""
    a, b = await pair(relay)
    await a.send(encode(BINARY, b"last"))
    assert isinstance(a.stream, trio.SSLStream)
    tcp, behind = await a.stream.unwrap()
    assert behind == b""
    await tcp.aclose()
    assert await b.message() == b"last"
    assert await b.closed() == LEFT


async def test_client_ends_tcp_alone(relay: WatchedRelay) -> None:
    """A side that ends TCP without the end of TLS has left too, as with HTTPS."""
    peer = TlsPeer(await dial(relay))
    await peer.shake_hands()
    async with peer.stream:
        await peer.stream.send_all(
            peer.records(
                b"GET /?pair=code HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
        )
        assert (await peer.receive()).startswith(b"HTTP/1.1 101 ")
        await peer.stream.send_eof()
        assert await peer.receive() == b""
        await relay.wait_for_connections(0)


async def test_reset(relay: WatchedRelay) -> None:
    """A side that is reset is broken, and its peer gets 1011."""
    a, b = await pair(relay)
    assert isinstance(a.stream, trio.SSLStream)
    await Client(a.stream.transport_stream).reset()
    assert await b.closed() == BROKEN


def ask(port: int) -> bytes:
    """Request the health with the standard library, which checks the end of TLS."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as tcp,
        client_context().wrap_socket(
            tcp, server_hostname="localhost", suppress_ragged_eofs=False
        ) as client,
    ):
        client.sendall(b"GET /health HTTP/1.1\r\nHost: relay\r\n\r\n")
        answer = b""
        while data := client.recv(1000):
            answer += data
        assert isinstance(client.unwrap(), socket.socket)
        return answer


async def test_another_implementation(relay: WatchedRelay) -> None:
    """The standard library accepts the end of TLS too."""
    answer = await trio.to_thread.run_sync(ask, relay.handle.port)
    assert answer.endswith(b'{"ok":true,"pairs":0}')
