"""Reading of a request head, and sending of a response."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from relay.protocol.handshake import Handshake, PlainRequest, parse_handshake
from relay.protocol.request import Request
from relay.protocol.response import (
    MAX_HEAD,
    NOT_FOUND,
    PAIR_IS_FULL,
    PROXY_PROTOCOL,
    Response,
    health_response,
)
from relay.server import http_io
from relay.server.http_io import read_request, send_response
from relay.transport.base import Transport
from relay.transport.wrap import wrap_stream
from tests.support.raw_client import upgrade_request
from tests.support.requests import UPGRADE, parsed, plain

MemoryStream = trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]

TIMEOUT = 10.0
NOW = 784111777


def health(ready: bool) -> Response:
    """Return the health of a relay with two pairs and without a free slot."""
    return health_response(2, draining=False, full=ready)


def respond(request: Request) -> Handshake | Response:
    """Decide on a request as that relay does."""
    parsed = parse_handshake(request)
    return health(parsed is PlainRequest.READY) if isinstance(parsed, PlainRequest) else parsed


async def read_and_respond(transport: Transport) -> Handshake | Response | None:
    """Read a head, and decide on it as that relay does."""
    request = await read_request(transport, TIMEOUT)
    return respond(request) if isinstance(request, Request) else request


# Reading the head.


@dataclass
class HeadClient:
    """Client whose head the relay reads."""

    stream: MemoryStream
    transport: Transport

    async def run(self, *pieces: bytes) -> Handshake | Response | None:
        """Send pieces, each once the previous one was read, and read the head."""
        result: Handshake | Response | None = None

        async def read() -> None:
            nonlocal result
            result = await read_and_respond(self.transport)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            for piece in pieces:
                await self.stream.send_all(piece)
                await trio.testing.wait_all_tasks_blocked()
        return result

    async def received(self) -> bytes:
        """Return all data that the client gets up to the end of its stream."""
        return b"".join([bytes(part) async for part in self.stream])


def new_client(nursery: trio.Nursery) -> HeadClient:
    """Return a new client whose head the relay reads."""
    client, server = trio.testing.memory_stream_pair()
    return HeadClient(client, wrap_stream(server, nursery))


@pytest.fixture
def client(nursery: trio.Nursery) -> HeadClient:
    """Return a client whose head the relay reads."""
    return new_client(nursery)


class Broken(trio.abc.Stream):
    """Stream that breaks behind its data."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        data, self._data = self._data[:max_bytes], self._data[max_bytes:]
        if not data:
            raise trio.BrokenResourceError
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        raise trio.BrokenResourceError

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


def fill(size: int) -> bytes:
    """Return an upgrade request whose head has this number of bytes."""
    return upgrade_request("/?pair=code", filler="x" * (size - len(UPGRADE) - len("filler: \r\n")))


async def test_head_in_one_piece(client: HeadClient) -> None:
    """A head is handled as soon as its empty line has arrived."""
    handshake = await client.run(UPGRADE)
    assert isinstance(handshake, Handshake)
    assert handshake.code == "code"


@pytest.mark.parametrize("request_", [UPGRADE, UPGRADE.replace(b"\r\n", b"\n")])
async def test_head_byte_by_byte(client: HeadClient, request_: bytes) -> None:
    """A head may arrive byte by byte, its lines with or without a carriage return."""
    handshake = await client.run(*[bytes((byte,)) for byte in request_])
    assert handshake == parsed(UPGRADE)


@pytest.mark.parametrize("size", [1, 100, 70000])
async def test_rest_behind_the_head_is_kept(client: HeadClient, size: int) -> None:
    """Data behind the head, sent before any response, is kept for the next reader."""
    rest = bytes(i % 251 for i in range(size))
    assert isinstance(await client.run(UPGRADE + rest), Handshake)
    await client.stream.send_eof()
    got = b""
    while data := await client.transport.receive_some(1000):
        got += data
    assert got == rest


@pytest.mark.parametrize("cut", [0, 1000, MAX_HEAD - 1])
async def test_largest_head(client: HeadClient, cut: int) -> None:
    """A head of exactly the limit is read, and the data behind it is not part of it."""
    head = fill(MAX_HEAD)
    assert len(head) == MAX_HEAD == 16384
    assert isinstance(await client.run(head[:cut], head[cut:] + b"rest"), Handshake)
    assert await client.transport.receive_some(100) == b"rest"


@pytest.mark.parametrize("cut", [1, 1000, MAX_HEAD - 1, MAX_HEAD])
async def test_head_over_the_limit(client: HeadClient, cut: int) -> None:
    """A head with one byte more is refused, in any number of pieces."""
    head = fill(MAX_HEAD + 1)
    response = await client.run(head[:cut], head[cut:])
    assert isinstance(response, Response)
    assert (response.status, response.body) == (431, "head is larger than 16384 bytes")


async def test_endless_request_line(client: HeadClient) -> None:
    """A request line without an end is refused at the limit."""
    response = await client.run(b"GET /" + b"x" * MAX_HEAD)
    assert isinstance(response, Response)
    assert response.status == 431


@pytest.mark.parametrize(
    "sent", [b"G", b"\r\nG", UPGRADE[:-1]], ids=["begun", "behind-a-line", "all-but-one"]
)
async def test_head_that_does_not_come(
    client: HeadClient, sent: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """A client that does not complete its head in time is refused."""
    start = trio.current_time()
    response = await client.run(sent)
    assert isinstance(response, Response)
    assert (response.status, response.body) == (408, "head did not arrive in time")
    assert trio.current_time() - start == TIMEOUT


@pytest.mark.parametrize("sent", [[], [b"\r"], [b"\n"], [b"\r\n"], [b"\r\n\r", b"\n"]])
async def test_client_that_says_nothing(
    client: HeadClient, sent: list[bytes], autojump_clock: trio.testing.MockClock
) -> None:
    """A client that sends only empty lines sends no request, and gets no response."""
    start = trio.current_time()
    assert await client.run(*sent) is None
    assert trio.current_time() - start == TIMEOUT


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("line", [b"\r\n", b"\n"])
async def test_empty_line_before_the_head(client: HeadClient, line: bytes, size: int) -> None:
    """One empty line before the request line is ignored (RFC 9112 section 2.2)."""
    sent = line + UPGRADE
    assert await client.run(sent[:size], sent[size:]) == parsed(UPGRADE)


@pytest.mark.parametrize(
    "preface",
    [
        b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n",
        b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n" + UPGRADE,
        b"PROXY UNKNOWN\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + UPGRADE,
        b"\r\n\r\n\0\r\nQUIT\n",
    ],
)
async def test_proxy_protocol(client: HeadClient, preface: bytes) -> None:
    """The response to a header of the PROXY protocol names that protocol."""
    assert await client.run(preface) == PROXY_PROTOCOL


async def test_method_named_proxy(client: HeadClient) -> None:
    """A request whose method is PROXY is HTTP, of an unknown path."""
    assert await client.run(plain("/", "PROXY")) == NOT_FOUND


async def test_head_that_trickles(
    client: HeadClient, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """The timeout applies to the whole head, not to each byte."""

    async def trickle() -> None:
        for byte in UPGRADE:
            await client.stream.send_all(bytes((byte,)))
            await trio.sleep(1)

    start = trio.current_time()
    nursery.start_soon(trickle)
    response = await read_and_respond(client.transport)
    assert isinstance(response, Response)
    assert response.status == 408
    assert trio.current_time() - start == TIMEOUT
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n",
        b"\n\n",
        b"\r\n\r\nG",
        b"\rGET",
        b"GET /\r\n",
        b"GET / HTTP/0.9\r\n",
        b"GET / HTTP/1.2\r\n",
        b"GET / HTTP/1.1 \r\n",
        b"GET / http/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00",
        b"\xff\xff\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nspace : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\xff: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    ],
)
async def test_what_is_not_http(
    client: HeadClient, sent: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """A request that is not HTTP/1 is refused at once, without waiting for an empty line."""
    start = trio.current_time()
    response = await client.run(sent)
    assert isinstance(response, Response)
    assert (response.status, response.body) == (400, "not a valid HTTP request")
    assert trio.current_time() == start


async def test_garbage_in_pieces(
    client: HeadClient, autojump_clock: trio.testing.MockClock
) -> None:
    """A line that is not HTTP is refused at its end, in any division into pieces."""
    start = trio.current_time()
    response = await client.run(b"hel", b"lo\r", b"\n")
    assert isinstance(response, Response)
    assert response.status == 400
    assert trio.current_time() == start


async def test_client_leaves_during_its_head(nursery: trio.Nursery) -> None:
    """A client that ends its stream inside its head gets a response if it sent data."""
    for size in range(len(UPGRADE)):
        client = new_client(nursery)
        await client.stream.send_all(UPGRADE[:size])
        await client.stream.send_eof()
        response = await read_and_respond(client.transport)
        if size:
            assert isinstance(response, Response)
            assert response.status == 400
        else:
            assert response is None


async def test_client_ends_its_stream_behind_the_head(client: HeadClient) -> None:
    """A client that ends its stream behind its head gets the response to that head."""
    await client.stream.send_all(UPGRADE)
    await client.stream.send_eof()
    assert isinstance(await read_and_respond(client.transport), Handshake)
    assert await client.transport.receive_some(100) == b""


async def test_client_breaks_during_its_head(nursery: trio.Nursery) -> None:
    """A client that is reset inside its head gets no response."""
    for size in range(len(UPGRADE)):
        transport = wrap_stream(Broken(UPGRADE[:size]), nursery)
        assert await read_and_respond(transport) is None
        assert transport.broken


async def test_transport_is_closed_during_the_head(
    client: HeadClient, nursery: trio.Nursery
) -> None:
    """If the relay closes the stream inside the head, no response is sent."""

    async def close() -> None:
        await trio.testing.wait_all_tasks_blocked()
        await client.transport.aclose()

    nursery.start_soon(close)
    assert await read_and_respond(client.transport) is None


# What is made of it.


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/ready", 503), ("/", 404)])
async def test_health_is_that_of_the_caller(client: HeadClient, path: str, status: int) -> None:
    """The caller decides whether the relay is healthy and ready."""
    response = await client.run(plain(path))
    assert isinstance(response, Response)
    assert response.status == status
    assert (response == health(ready=path == "/ready")) == (status != 404)


# Sending the answer.


@pytest.fixture(autouse=True)
def stop_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock of the responses."""
    monkeypatch.setattr(http_io, "time", SimpleNamespace(time=lambda: NOW + 0.9))


async def test_answer_is_sent_and_the_client_leaves(
    client: HeadClient, autojump_clock: trio.testing.MockClock
) -> None:
    """A client gets its response and the end of the stream, and the relay waits for its end."""
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_response, client.transport, PAIR_IS_FULL)
        assert await client.received() == PAIR_IS_FULL.encode(NOW)
        await client.stream.send_all(b"more" * 100_000)
        await client.stream.aclose()
    assert trio.current_time() == start


async def test_client_that_does_not_leave(
    client: HeadClient, autojump_clock: trio.testing.MockClock
) -> None:
    """The relay waits for a client that stays behind its response only for a limited time."""

    async def chatter() -> None:
        while True:
            await client.stream.send_all(b"x" * 1000)
            await trio.sleep(0.3)

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(chatter)
        await send_response(client.transport, PAIR_IS_FULL)
        nursery.cancel_scope.cancel()
    assert trio.current_time() - start == http_io.DRAIN_TIMEOUT
    await client.transport.aclose()
    assert await client.received() == PAIR_IS_FULL.encode(NOW)


async def test_client_that_does_not_take_its_answer(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """The relay waits as long for a client that does not read its response."""
    _client, server = trio.testing.lockstep_stream_pair()
    start = trio.current_time()
    await send_response(wrap_stream(server, nursery), PAIR_IS_FULL)
    assert trio.current_time() - start == http_io.DRAIN_TIMEOUT
    nursery.cancel_scope.cancel()


async def test_client_that_is_gone(
    client: HeadClient, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A response to a client that has left is given up at once, without an exception."""
    start = trio.current_time()
    await client.stream.aclose()
    for transport in (client.transport, wrap_stream(Broken(b""), nursery)):
        await send_response(transport, PAIR_IS_FULL)
        assert transport.broken
    assert trio.current_time() == start


async def test_head_that_has_arrived(nursery: trio.Nursery) -> None:
    """A head in the receive buffer of the socket is read without waiting."""
    ours, theirs = trio.socket.socketpair()
    with theirs:
        await theirs.send(upgrade_request("/?pair=code"))
        async with wrap_stream(trio.SocketStream(ours), nursery) as transport:
            with trio.testing.assert_no_checkpoints():
                request = await read_request(transport, TIMEOUT)
    assert isinstance(request, Request)
    assert request.target == b"/?pair=code"


async def test_reset_before_the_head(nursery: trio.Nursery) -> None:
    """A connection that was reset before its first read gets no response."""
    ours, theirs = trio.socket.socketpair()
    async with wrap_stream(trio.SocketStream(ours), nursery) as transport:
        await transport.send_all(b"never read")
        theirs.close()
        assert await read_request(transport, TIMEOUT) is None
        assert transport.broken
