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
from tests.support.requests import UPGRADE, judged, plain

MemoryStream = trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]

TIMEOUT = 10.0
NOW = 784111777


def health(ready: bool) -> Response:
    """Return what a relay with two pairs and no room for another would."""
    return health_response(2, draining=False, full=ready)


def judged_here(request: Request) -> Handshake | Response:
    """Decide on a request as that relay would."""
    judged = parse_handshake(request)
    return health(judged is PlainRequest.READY) if isinstance(judged, PlainRequest) else judged


async def asked(transport: Transport) -> Handshake | Response | None:
    """Read a head, and decide on it as that relay would."""
    request = await read_request(transport, TIMEOUT)
    return judged_here(request) if isinstance(request, Request) else request


# Reading the head.


@dataclass
class Doorway:
    """A client in front of the door."""

    client: MemoryStream
    wire: Transport

    async def knock(self, *pieces: bytes) -> Handshake | Response | None:
        """Send pieces, each as soon as the one before is read, and read the head."""
        result: Handshake | Response | None = None

        async def read() -> None:
            nonlocal result
            result = await asked(self.wire)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            for piece in pieces:
                await self.client.send_all(piece)
                await trio.testing.wait_all_tasks_blocked()
        return result

    async def said(self) -> bytes:
        """Return all that the client gets up to the end of its stream."""
        return b"".join([bytes(part) async for part in self.client])


def meet(nursery: trio.Nursery) -> Doorway:
    """Return a new client in front of the door."""
    client, server = trio.testing.memory_stream_pair()
    return Doorway(client, wrap_stream(server, nursery))


@pytest.fixture
def doorway(nursery: trio.Nursery) -> Doorway:
    """Return a client in front of the door."""
    return meet(nursery)


class Broken(trio.abc.Stream):
    """A stream that breaks behind what it has to say."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        said, self._said = self._said[:max_bytes], self._said[max_bytes:]
        if not said:
            raise trio.BrokenResourceError
        return said

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        raise trio.BrokenResourceError

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


def fill(size: int) -> bytes:
    """Return an upgrade whose head has this many bytes."""
    return upgrade_request("/?pair=code", filler="x" * (size - len(UPGRADE) - len("filler: \r\n")))


async def test_head_in_one_piece(doorway: Doorway) -> None:
    """A head is judged when its empty line is there, without waiting for more."""
    handshake = await doorway.knock(UPGRADE)
    assert isinstance(handshake, Handshake)
    assert handshake.code == "code"


@pytest.mark.parametrize("request_", [UPGRADE, UPGRADE.replace(b"\r\n", b"\n")])
async def test_head_byte_by_byte(doorway: Doorway, request_: bytes) -> None:
    """A head may come a byte at a time, its lines with or without a carriage return."""
    handshake = await doorway.knock(*[bytes((byte,)) for byte in request_])
    assert handshake == judged(UPGRADE)


@pytest.mark.parametrize("size", [1, 100, 70000])
async def test_rest_behind_the_head_is_kept(doorway: Doorway, size: int) -> None:
    """Data behind the head, sent before any response, is kept for the next reader."""
    rest = bytes(i % 251 for i in range(size))
    assert isinstance(await doorway.knock(UPGRADE + rest), Handshake)
    await doorway.client.send_eof()
    got = b""
    while data := await doorway.wire.receive_some(1000):
        got += data
    assert got == rest


@pytest.mark.parametrize("cut", [0, 1000, MAX_HEAD - 1])
async def test_largest_head(doorway: Doorway, cut: int) -> None:
    """A head of exactly the limit is read, and what is behind it is not part of it."""
    head = fill(MAX_HEAD)
    assert len(head) == MAX_HEAD == 16384
    assert isinstance(await doorway.knock(head[:cut], head[cut:] + b"rest"), Handshake)
    assert await doorway.wire.receive_some(100) == b"rest"


@pytest.mark.parametrize("cut", [1, 1000, MAX_HEAD - 1, MAX_HEAD])
async def test_head_over_the_limit(doorway: Doorway, cut: int) -> None:
    """A head of one byte more is refused, in however many pieces it comes."""
    head = fill(MAX_HEAD + 1)
    response = await doorway.knock(head[:cut], head[cut:])
    assert isinstance(response, Response)
    assert (response.status, response.body) == (431, "head is larger than 16384 bytes")


async def test_endless_request_line(doorway: Doorway) -> None:
    """A request line without an end is refused at the limit."""
    response = await doorway.knock(b"GET /" + b"x" * MAX_HEAD)
    assert isinstance(response, Response)
    assert response.status == 431


@pytest.mark.parametrize(
    "said", [b"G", b"\r\nG", UPGRADE[:-1]], ids=["begun", "behind-a-line", "all-but-one"]
)
async def test_head_that_does_not_come(
    doorway: Doorway, said: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """A client that does not finish its head is sent away after the time it has."""
    start = trio.current_time()
    response = await doorway.knock(said)
    assert isinstance(response, Response)
    assert (response.status, response.body) == (408, "head did not arrive in time")
    assert trio.current_time() - start == TIMEOUT


@pytest.mark.parametrize("said", [[], [b"\r"], [b"\n"], [b"\r\n"], [b"\r\n\r", b"\n"]])
async def test_client_that_says_nothing(
    doorway: Doorway, said: list[bytes], autojump_clock: trio.testing.MockClock
) -> None:
    """A client that sends no byte but empty lines asks nothing, so that nothing is answered."""
    start = trio.current_time()
    assert await doorway.knock(*said) is None
    assert trio.current_time() - start == TIMEOUT


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("line", [b"\r\n", b"\n"])
async def test_empty_line_before_the_head(doorway: Doorway, line: bytes, size: int) -> None:
    """One empty line before the request line is ignored (RFC 9112 section 2.2)."""
    said = line + UPGRADE
    assert await doorway.knock(said[:size], said[size:]) == judged(UPGRADE)


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
async def test_proxy_protocol(doorway: Doorway, preface: bytes) -> None:
    """A proxy that sends the PROXY protocol is told so."""
    assert await doorway.knock(preface) == PROXY_PROTOCOL


async def test_method_named_proxy(doorway: Doorway) -> None:
    """A request whose method is PROXY is HTTP, of an unknown path."""
    assert await doorway.knock(plain("/", "PROXY")) == NOT_FOUND


async def test_head_that_trickles(
    doorway: Doorway, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """The time for a head is that for all of it: a byte now and then wins nothing."""

    async def trickle() -> None:
        for byte in UPGRADE:
            await doorway.client.send_all(bytes((byte,)))
            await trio.sleep(1)

    start = trio.current_time()
    nursery.start_soon(trickle)
    response = await asked(doorway.wire)
    assert isinstance(response, Response)
    assert response.status == 408
    assert trio.current_time() - start == TIMEOUT
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "said",
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
    doorway: Doorway, said: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """A request that is not HTTP/1 is refused at once, without waiting for an empty line."""
    start = trio.current_time()
    response = await doorway.knock(said)
    assert isinstance(response, Response)
    assert (response.status, response.body) == (400, "not a valid HTTP request")
    assert trio.current_time() == start


async def test_garbage_in_pieces(doorway: Doorway, autojump_clock: trio.testing.MockClock) -> None:
    """A line that is not HTTP is refused when its end comes, however it was cut."""
    start = trio.current_time()
    response = await doorway.knock(b"hel", b"lo\r", b"\n")
    assert isinstance(response, Response)
    assert response.status == 400
    assert trio.current_time() == start


async def test_client_leaves_during_its_head(nursery: trio.Nursery) -> None:
    """A client that ends its stream gets no place at any point, and an answer if it spoke."""
    for size in range(len(UPGRADE)):
        doorway = meet(nursery)
        await doorway.client.send_all(UPGRADE[:size])
        await doorway.client.send_eof()
        response = await asked(doorway.wire)
        if size:
            assert isinstance(response, Response)
            assert response.status == 400
        else:
            assert response is None


async def test_client_ends_its_stream_behind_the_head(doorway: Doorway) -> None:
    """A client that ends its stream right behind its head is judged by it all the same."""
    await doorway.client.send_all(UPGRADE)
    await doorway.client.send_eof()
    assert isinstance(await asked(doorway.wire), Handshake)
    assert await doorway.wire.receive_some(100) == b""


async def test_client_breaks_during_its_head(nursery: trio.Nursery) -> None:
    """A client that is reset at any point of its head is gone; there is nobody to answer."""
    for size in range(len(UPGRADE)):
        transport = wrap_stream(Broken(UPGRADE[:size]), nursery)
        assert await asked(transport) is None
        assert transport.broken


async def test_wire_is_closed_during_the_head(doorway: Doorway, nursery: trio.Nursery) -> None:
    """If the relay closes the stream meanwhile, there is nobody to answer either."""

    async def close() -> None:
        await trio.testing.wait_all_tasks_blocked()
        await doorway.wire.aclose()

    nursery.start_soon(close)
    assert await asked(doorway.wire) is None


# What is made of it.


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/ready", 503), ("/", 404)])
async def test_health_is_that_of_the_caller(doorway: Doorway, path: str, status: int) -> None:
    """The caller decides whether the relay is healthy and ready."""
    response = await doorway.knock(plain(path))
    assert isinstance(response, Response)
    assert response.status == status
    assert (response == health(ready=path == "/ready")) == (status != 404)


# Sending the answer.


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the time stand still."""
    monkeypatch.setattr(http_io, "time", SimpleNamespace(time=lambda: NOW + 0.9))


async def test_answer_is_sent_and_the_client_leaves(
    doorway: Doorway, autojump_clock: trio.testing.MockClock
) -> None:
    """A client gets its answer and the end of the stream, and is done with when it leaves."""
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_response, doorway.wire, PAIR_IS_FULL)
        assert await doorway.said() == PAIR_IS_FULL.encode(NOW)
        await doorway.client.send_all(b"more" * 100_000)
        await doorway.client.aclose()
    assert trio.current_time() == start


async def test_client_that_does_not_leave(
    doorway: Doorway, autojump_clock: trio.testing.MockClock
) -> None:
    """A client that stays behind its answer is waited for a little, whatever it says."""

    async def chatter() -> None:
        while True:
            await doorway.client.send_all(b"x" * 1000)
            await trio.sleep(0.3)

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(chatter)
        await send_response(doorway.wire, PAIR_IS_FULL)
        nursery.cancel_scope.cancel()
    assert trio.current_time() - start == http_io.DRAIN_TIMEOUT
    await doorway.wire.aclose()
    assert await doorway.said() == PAIR_IS_FULL.encode(NOW)


async def test_client_that_does_not_take_its_answer(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A client that does not read its answer is waited for just as long."""
    _client, server = trio.testing.lockstep_stream_pair()
    start = trio.current_time()
    await send_response(wrap_stream(server, nursery), PAIR_IS_FULL)
    assert trio.current_time() - start == http_io.DRAIN_TIMEOUT
    nursery.cancel_scope.cancel()


async def test_client_that_is_gone(
    doorway: Doorway, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """An answer to a client that left or broke is given up at once and raises nothing."""
    start = trio.current_time()
    await doorway.client.aclose()
    for transport in (doorway.wire, wrap_stream(Broken(b""), nursery)):
        await send_response(transport, PAIR_IS_FULL)
        assert transport.broken
    assert trio.current_time() == start
