"""No client can disturb an existing pair, or prevent a new pair.

The `relay` fixture has an existing pair, and checks both after each test.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import pytest
import trio

from relay import RelaySettings
from relay.server import http_io
from tests.support.raw_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Client,
    Response,
    encode,
    encode_close,
    upgrade_request,
)
from tests.support.relay_fixtures import TcpRelay

TLS_HELLO: Final = bytes.fromhex("16030100050100000103030d0a")
KEY: Final = b"MDEyMzQ1Njc4OWFiY2RlZg=="
GOOD_HEAD: Final = (
    b"GET /?pair=hostile HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"
)


async def exchange(a: Client, b: Client) -> None:
    """Assert that a message of either side reaches the other."""
    for source, sink in ((a, b), (b, a)):
        message = os.urandom(100_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(source.send_message, message)
            assert await sink.message() == message


@contextmanager
def no_failures(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Assert that no connection ended in an unexpected exception."""
    yield
    failures = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not failures


@pytest.fixture
async def relay(tcp_relay: TcpRelay, caplog: pytest.LogCaptureFixture) -> AsyncIterator[TcpRelay]:
    """Run a relay with a pair that only the fixture uses."""
    with no_failures(caplog):
        a, b = await tcp_relay.pair("bystanders")
        yield tcp_relay
        await exchange(a, b)
        await exchange(*await tcp_relay.pair("new"))


async def only_the_pair_is_left(relay: TcpRelay) -> None:
    """Wait until the relay has closed every connection except those of the existing pair."""
    while relay.handle.statistics().connections != 2:
        await trio.sleep(0.001)
    assert relay.handle.statistics().pairs == 1


async def send_until_broken(client: Client, data: bytes) -> None:
    """Send data until the relay's end of the stream is closed."""
    with suppress(trio.BrokenResourceError):
        while True:
            await client.send(data)
            await trio.sleep(0.001)


def assert_refused(response: Response, status: int) -> None:
    """Assert the properties of every refusal; `Client.response` saw the end of the stream."""
    assert response.status == status
    assert response.headers["connection"].startswith("close")
    assert int(response.headers["content-length"]) == len(response.body)
    assert response.headers["content-type"].startswith("text/plain")
    assert response.body
    assert b"\n" not in response.body.strip()


# Heads


def head(*lines: bytes) -> bytes:
    """Return an upgrade request with these lines added."""
    return GOOD_HEAD[:-2] + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


BAD_HEADS: Final = {
    "host-not-ascii": (GOOD_HEAD.replace(b"Host: relay", b"Host: \xff"), 400),
    "origin-not-ascii": (head("Origin: https://bücher.example".encode()), 400),
    "subprotocol-not-ascii": (head(b"Sec-WebSocket-Protocol: caf\xe9"), 400),
    "subprotocol-no-token": (head(b"Sec-WebSocket-Protocol: a b"), 400),
    "target-not-ascii": (GOOD_HEAD.replace(b"=hostile", b"=\xff\xfe"), 400),
    "code-not-utf-8": (GOOD_HEAD.replace(b"=hostile", b"=%ff%fe"), 400),
    "code-missing": (GOOD_HEAD.replace(b"?pair=hostile", b"?pear=hostile"), 400),
    "pair-full": (GOOD_HEAD.replace(b"=hostile", b"=bystanders"), 409),
    "no-host": (GOOD_HEAD.replace(b"Host: relay\r\n", b""), 400),
    "two-hosts": (head(b"Host: other"), 400),
    "two-keys": (head(b"Sec-WebSocket-Key: " + KEY), 400),
    "key-short": (GOOD_HEAD.replace(KEY, b"c2hvcnQ="), 400),
    "key-not-base64": (GOOD_HEAD.replace(KEY, b"!" * 24), 400),
    "version-8": (GOOD_HEAD.replace(b"Version: 13", b"Version: 8"), 426),
    "body": (head(b"Content-Length: 5"), 400),
    "chunked": (head(b"Transfer-Encoding: chunked"), 400),
    "length-twice": (head(b"Content-Length: 1", b"Content-Length: 2"), 400),
    "length-no-number": (head(b"Content-Length: some"), 400),
    "not-connected": (GOOD_HEAD.replace(b"Connection: Upgrade", b"Connection: close"), 400),
    "http-1.0": (GOOD_HEAD.replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    "http-2.0": (GOOD_HEAD.replace(b"HTTP/1.1", b"HTTP/2.0"), 400),
    "http-2-preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "post": (GOOD_HEAD.replace(b"GET", b"POST"), 405),
    "folded": (head(b"X-Folded: one", b" \0 two"), 400),
    "space-before-colon": (head(b"X-Space : one"), 400),
    "no-colon": (head(b"no colon in here"), 400),
    "nul": (head(b"X-Nul: a\0b"), 400),
    "bare-cr": (head(b"X-Return: a\rb"), 400),
    "nothing-but-lines": (b"\r\n\r\n\r\n\r\n", 400),
    "garbage-line": (b"\x00\x01\x02\xff garbage\n", 400),
    "smtp": (b"EHLO relay.example\r\n", 400),
    "ssh": (b"SSH-2.0-OpenSSH_9.9\r\n", 400),
    "tls-hello": (TLS_HELLO, 400),
    "too-big": (b"GET / HTTP/1.1\r\nHost: relay\r\nX-Big: " + b"x" * 17_000, 431),
    "too-many": (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 4000, 431),
    "too-many-complete": (head(*[b"X: y"] * 100), 431),
    "too-many-parameters": (GOOD_HEAD.replace(b"=hostile", b"=hostile" + b"&" * 100), 400),
    "spaces-then-nul": (head(b"X:" + b" " * 15_000 + b"\0"), 400),
    "no-upgrade": (GOOD_HEAD.replace(b"Upgrade: websocket\r\n", b""), 426),
    "proxy-protocol": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + GOOD_HEAD, 400),
    "one-long-line": (b"GET /" + b"x" * 17_000, 431),
    "plain": (b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n", 404),
}


@pytest.mark.parametrize(("data", "status"), BAD_HEADS.values(), ids=BAD_HEADS)
async def test_bad_head(relay: TcpRelay, data: bytes, status: int) -> None:
    """A bad head is refused with its status, and the stream ends."""
    before = relay.handle.statistics()
    client = await relay.connect()
    await client.send(data)
    assert_refused(await client.response(), status)
    assert relay.handle.statistics().pairs == before.pairs


async def test_refused_clients_that_stay(relay: TcpRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay closes a refused connection, even if the client stays or goes on sending."""
    monkeypatch.setattr(http_io, "DRAIN_TIMEOUT", 0.5)
    clients = []
    for data, _ in BAD_HEADS.values():
        client = await relay.connect()
        await client.send(data)
        clients.append(client)
    await only_the_pair_is_left(relay)
    for client in clients:
        # The relay has sent its end before; that its socket is gone too, a write brings out.
        await client.response()
        await send_until_broken(client, b"are you there")


async def test_refused_client_that_floods(relay: TcpRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that never stops sending cannot hold a refused connection open."""
    monkeypatch.setattr(http_io, "DRAIN_TIMEOUT", 0.5)
    client = await relay.connect()
    await client.send(BAD_HEADS["pair-full"][0])
    await send_until_broken(client, bytes(100_000))
    await only_the_pair_is_left(relay)


@pytest.mark.parametrize("settings", [RelaySettings(handshake_timeout=0.3)])
@pytest.mark.parametrize("data", [b"G", GOOD_HEAD[:-1]])
async def test_slow_head(relay: TcpRelay, settings: RelaySettings, data: bytes) -> None:
    """A client that does not send its whole head in time gets 408."""
    client = await relay.connect()
    await client.send(data)
    assert_refused(await client.response(), 408)


@pytest.mark.parametrize("settings", [RelaySettings(handshake_timeout=0.5)])
async def test_head_that_trickles(relay: TcpRelay, settings: RelaySettings) -> None:
    """A head that arrives slowly gets no further time for each byte."""
    client = await relay.connect()

    async def trickle() -> None:
        while True:
            for byte in GOOD_HEAD[:-2]:
                await client.send(bytes([byte]))
                await trio.sleep(0.02)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trickle)
        assert_refused(await client.response(), 408)
        nursery.cancel_scope.cancel()


async def test_head_a_byte_at_a_time(relay: TcpRelay) -> None:
    """A valid head that arrives byte by byte, but in time, is accepted."""
    client = await relay.connect()
    for byte in GOOD_HEAD:
        await client.send(bytes([byte]))
        await trio.testing.wait_all_tasks_blocked()
    assert (await client.response()).status == 101
    await exchange(client, await relay.join("hostile"))


# Resets


@pytest.mark.parametrize("stage", ["connected", "in-head", "after-head", "after-101"])
@pytest.mark.parametrize("waits", [False, True])
async def test_reset_in_handshake(relay: TcpRelay, stage: str, waits: bool) -> None:
    """A reset at any stage of the handshake leaves nothing behind."""
    clients = [await relay.connect() for _ in range(10)]
    for number, client in enumerate(clients):
        request = GOOD_HEAD.replace(b"hostile", b"hostile-%d" % (number // 2))
        if stage != "connected":
            await client.send(request[:40] if stage == "in-head" else request)
        if stage == "after-101":
            assert (await client.response()).status == 101
        if waits:  # until the relay has seen all that there is to see
            await trio.testing.wait_all_tasks_blocked()
        await client.reset()
    await only_the_pair_is_left(relay)


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("cut", [1, 3, 9, 500])
async def test_reset_in_frame(relay: TcpRelay, side: str, cut: int) -> None:
    """A reset inside a frame gives the peer 1011, and never a whole message."""
    a, b = await relay.pair("hostile")
    broken, peer = (a, b) if side == "a" else (b, a)
    await broken.send_message(b"whole")
    assert await peer.message() == b"whole"
    await broken.send(encode(BINARY, bytes(1000))[:cut])
    await trio.testing.wait_all_tasks_blocked()
    await broken.reset()
    *fragments, last = await peer.last_frames()
    assert not any(fragment.fin for fragment in fragments)
    assert last.payload == struct.pack("!H", 1011) + b"peer disconnected"
    await only_the_pair_is_left(relay)


async def test_reset_with_bulk_on_the_way(relay: TcpRelay) -> None:
    """A reset is noticed while much data waits for the client; the sender gets a close frame."""
    a, b = await relay.pair("hostile")
    with trio.move_on_after(0.2):
        while True:
            await a.send_message(bytes(2**20))
    await b.reset()
    assert await a.close_frame() == (1011, "peer disconnected")


# Ends


@pytest.mark.parametrize("side", ["a", "b"])
async def test_half_close(relay: TcpRelay, side: str) -> None:
    """A client that ends its direction gets nothing more, and its peer gets 1000."""
    a, b = await relay.pair("hostile")
    ended, peer = (a, b) if side == "a" else (b, a)
    await ended.send_message(b"last words")
    await ended.send_eof()
    assert await peer.message() == b"last words"
    assert await peer.closed() == (1000, "peer disconnected")
    assert await ended.rest() == b""
    await only_the_pair_is_left(relay)


@pytest.mark.parametrize("data", [b"", b"GET / HT", GOOD_HEAD])
async def test_half_close_during_the_handshake(relay: TcpRelay, data: bytes) -> None:
    """A client that ends its direction before or behind its head leaves nothing behind."""
    client = await relay.connect()
    await client.send(data)
    await client.send_eof()
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 101 ") == (data == GOOD_HEAD)
    await only_the_pair_is_left(relay)


async def test_ping_after_close(relay: TcpRelay) -> None:
    """Pings and data behind the relay's close frame are discarded; the closing handshake ends."""
    a, b = await relay.pair("hostile")
    await a.send(encode_close(1000))
    assert await b.close_frame() == (1000, "peer disconnected")
    for _ in range(100):
        await b.send(encode(PING, b"still there?") + encode(BINARY, bytes(1000)))
        await trio.testing.wait_all_tasks_blocked()
    await b.send(encode_close(1000))
    assert await b.rest() == b""
    await only_the_pair_is_left(relay)


async def test_ping_in_one_write_with_close(relay: TcpRelay) -> None:
    """Data behind a client's own close frame is ignored."""
    a, b = await relay.pair("hostile")
    await a.send(encode_close(4000, "bye") + encode(PING) + encode(BINARY, b"late") + b"\xff" * 50)
    assert await a.close_frame() == (4000, "bye")
    assert await a.rest() == b""
    assert await b.closed() == (1000, "peer disconnected")


@pytest.mark.parametrize("settings", [RelaySettings(close_timeout=0.3)])
async def test_client_that_never_answers_a_close(relay: TcpRelay, settings: RelaySettings) -> None:
    """A client that ignores the relay's close frame, and goes on, is dropped in time."""
    a, b = await relay.pair("hostile")
    await a.send(encode_close(1000))
    assert await b.close_frame() == (1000, "peer disconnected")
    await send_until_broken(b, encode(BINARY, bytes(1000)))
    await only_the_pair_is_left(relay)


# Floods


async def flood(client: Client, data: bytes, seconds: float = 0.5) -> int:
    """Send data again and again; return the number of bytes before the sender had to wait."""
    sent = 0
    while True:
        with trio.move_on_after(seconds) as scope:
            await client.send(data)
            sent += len(data)
        if scope.cancelled_caught:
            return sent


async def test_unread_pongs_do_not_delay_data(relay: TcpRelay) -> None:
    """Data behind pings whose pongs the client does not read still arrives."""
    a, b = await relay.pair("hostile")
    for _ in range(100):
        await a.send(encode(PING, bytes(125)) * 1000)
    await a.send_message(b"through")
    assert await b.message() == b"through"


@pytest.mark.parametrize("opcode", [BINARY, TEXT])
async def test_a_million_empty_fragments(relay: TcpRelay, opcode: int) -> None:
    """A flood of empty fragments, which no byte limit counts, ends with 1008."""
    a, b = await relay.pair("hostile")
    fragments = encode(CONTINUATION, fin=False) * 10_000
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            await a.send(encode(opcode, fin=False))
            for _ in range(100):
                await a.send(fragments)
            await a.send(encode_close(1008))
            await a.send_eof()

        nursery.start_soon(send)
        assert await a.close_frame() == (1008, "too many empty fragments")
        assert await b.closed() == (1011, "peer disconnected")
        assert await a.rest() == b""


async def test_one_byte_fragments(relay: TcpRelay) -> None:
    """A message of 50,000 one-byte fragments is forwarded like any other."""
    a, b = await relay.pair("hostile")
    message = os.urandom(50_000)
    parts = [
        encode(CONTINUATION if position else BINARY, message[position : position + 1], fin=False)
        for position in range(len(message))
    ]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.send, b"".join(parts) + encode(CONTINUATION))
        assert await b.message() == message


async def test_pipelined_behind_the_upgrade(relay: TcpRelay) -> None:
    """Data in the segment of the upgrade request is forwarded, for either side."""
    a, b = await relay.connect(), await relay.connect()
    request = upgrade_request("/?pair=hostile")
    await a.send(request + encode(BINARY, b"from a") + encode(PING, b"a") + encode(BINARY)[:3])
    assert (await a.response()).status == 101
    assert (await a.frame()).opcode == PONG
    await b.send(request + encode(PING, b"b") + encode(BINARY, b"from b" * 20_000))
    assert (await b.response()).status == 101
    assert await a.message() == b"from b" * 20_000
    frames = {(frame.opcode, frame.payload) for frame in (await b.frame(), await b.frame())}
    assert frames == {(BINARY, b"from a"), (PONG, b"b")}


# Violations


def close_payload(payload: bytes) -> bytes:
    """Return a close frame with exactly this payload."""
    return encode(CLOSE, payload)


VIOLATIONS: Final = {
    "not-masked": (encode(BINARY, b"x", mask=False), 1002),
    "not-masked-ping": (encode(PING, b"x", mask=False), 1002),
    "reserved-1": (encode(BINARY, b"x", reserved=4), 1002),
    "reserved-2": (encode(BINARY, b"x", reserved=2), 1002),
    "reserved-3": (encode(PING, b"x", reserved=1), 1002),
    "opcode-3": (encode(0x3, b"x"), 1002),
    "opcode-7": (encode(0x7, b"x"), 1002),
    "opcode-11": (encode(0xB, b"x"), 1002),
    "opcode-15": (encode(0xF, b"x"), 1002),
    "ping-fragment": (encode(PING, b"x", fin=False), 1002),
    "close-fragment": (encode(CLOSE, b"", fin=False), 1002),
    "ping-126": (encode(PING, bytes(126)), 1002),
    "pong-126": (encode(PONG, bytes(126)), 1002),
    "close-126": (encode(CLOSE, b"\x03\xe8" + bytes(124)), 1002),
    "stray-continuation": (encode(CONTINUATION, b"x"), 1002),
    "binary-in-binary": (encode(BINARY, b"x", fin=False) + encode(BINARY, b"y"), 1002),
    "text-in-binary": (encode(BINARY, b"x", fin=False) + encode(TEXT, b"y"), 1002),
    "binary-in-text": (encode(TEXT, b"x", fin=False) + encode(BINARY, b"y"), 1002),
    "length-16-for-125": (encode(BINARY, bytes(125), length_size=2), 1002),
    "length-64-for-125": (encode(BINARY, bytes(125), length_size=8), 1002),
    "length-64-for-65535": (encode(BINARY, bytes(65_535), length_size=8), 1002),
    "length-64-for-text": (encode(TEXT, bytes(10), length_size=8), 1002),
    "length-negative": (encode(BINARY, b"x", length=2**63, length_size=8), 1002),
    "length-most-negative": (encode(TEXT, b"x", length=2**64 - 1, length_size=8), 1002),
    "close-1-byte": (close_payload(b"\x03"), 1002),
    **{
        f"close-{code}": (close_payload(struct.pack("!H", code)), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535)
    },
    "close-reason": (close_payload(b"\x03\xe8\xff"), 1007),
    "close-reason-cut": (close_payload(b"\x03\xe8" + "ü".encode()[:1]), 1007),
    "too-big": (encode(BINARY, b"x", length=100 * 2**20 + 1), 1009),
    "biggest": (encode(BINARY, b"x", length=2**63 - 1), 1009),
    "too-big-in-sum": (
        encode(BINARY, b"x", fin=False) + encode(CONTINUATION, b"x", length=100 * 2**20),
        1009,
    ),
}


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize(("data", "code"), VIOLATIONS.values(), ids=VIOLATIONS)
async def test_violation(relay: TcpRelay, data: bytes, code: int, side: str) -> None:
    """A side that violates the protocol gets the code of its violation; its peer gets 1011."""
    a, b = await relay.pair("hostile")
    offender, peer = (a, b) if side == "a" else (b, a)
    await offender.send_message(b"good until now")
    await offender.send(data + bytes(1000))
    assert await peer.message() == b"good until now"
    *fragments, last = await peer.last_frames()
    assert not any(fragment.fin for fragment in fragments)
    assert last.payload == struct.pack("!H", 1011) + b"peer disconnected"
    got, reason = await offender.closed()
    assert got == code
    assert reason
    await trio.aclose_forcefully(offender.stream)  # as a client does when its server is done
    await only_the_pair_is_left(relay)


@pytest.mark.parametrize(("data", "code"), VIOLATIONS.values(), ids=VIOLATIONS)
async def test_violation_while_waiting(relay: TcpRelay, data: bytes, code: int) -> None:
    """A waiting side that violates the protocol is closed too, and its code is free."""
    offender = await relay.join("hostile")
    await offender.send(data)
    assert (await offender.closed())[0] == code
    await trio.aclose_forcefully(offender.stream)
    await only_the_pair_is_left(relay)
    await exchange(*await relay.pair("hostile"))


# Crowds


async def test_race_for_a_code(relay: TcpRelay) -> None:
    """Of ten connections that race for one code exactly two are joined, and eight refused."""
    for turn in range(10):
        clients = [await relay.connect() for _ in range(10)]
        responses: dict[Client, Response] = {}

        async def upgrade(client: Client, turn: int, responses: dict[Client, Response]) -> None:
            responses[client] = await client.upgrade(f"/?pair=hostile-{turn}")

        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(upgrade, client, turn, responses)
        joined = [client for client, response in responses.items() if response.status == 101]
        refused = [response for response in responses.values() if response.status != 101]
        assert len(joined) == 2
        assert len(refused) == 8
        for response in refused:
            assert_refused(response, 409)
            assert response.body.strip() == b"pair is full"
        await exchange(*joined)


@pytest.mark.parametrize("late", ["close", "eof", "reset", "violation", "data"])
@pytest.mark.parametrize("settings", [RelaySettings(close_timeout=0.5)])
async def test_late_end(relay: TcpRelay, settings: RelaySettings, late: str) -> None:
    """Late data of a stale side never reaches the newer pair that took over its code."""
    a, stale = await relay.pair("hostile")
    await a.send(encode_close(1000))
    assert await stale.close_frame() == (1000, "peer disconnected")  # and does not answer yet
    newer = await relay.join("hostile")
    if late == "close":
        await stale.send(encode_close(1000))
    elif late == "eof":
        await stale.send_eof()
    elif late == "reset":
        await stale.reset()
    elif late == "violation":
        await stale.send(encode(0xB))
    else:
        await stale.send_message(b"for nobody")
    while relay.handle.statistics().connections != 3:
        await trio.sleep(0.001)
    assert relay.handle.statistics().waiting == 1
    await exchange(newer, await relay.join("hostile"))


async def test_stopping_while_a_client_does_not_read(relay: TcpRelay) -> None:
    """A client that stopped reading gets its close frame behind the pending data."""
    a, b = await relay.pair("hostile")
    await flood(a, encode(BINARY, bytes(2**20)), 0.3)
    await a.reset()
    *_, last = await b.last_frames()
    assert last.payload == struct.pack("!H", 1011) + b"peer disconnected"


@pytest.mark.parametrize("settings", [RelaySettings(close_timeout=0.5)])
async def test_stop_while_nobody_reads(tcp_relay: TcpRelay, settings: RelaySettings) -> None:
    """Clients that stopped reading delay the stop by close_timeout at most."""
    for number in range(5):
        a, _ = await tcp_relay.pair(f"hostile-{number}")
        await flood(a, encode(BINARY, bytes(2**20)), 0.1)
    await tcp_relay.handle.stop()
    assert tcp_relay.handle.statistics().connections == 0
