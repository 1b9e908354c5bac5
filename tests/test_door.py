"""What the door makes of the head of a connection, and what it says to those it sends away."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

import h11
import pytest
import trio
import trio.testing
from websockets.utils import accept_key

from relay import door
from relay.door import (
    MAX_CODE,
    MAX_HEAD,
    PAIR_IS_FULL,
    Answer,
    Upgrade,
    judge,
    pair_code,
    read_head,
    send_answer,
)
from relay.wire import Wire
from relay.wires import open_wire

from .clients import upgrade_request

MemoryStream = trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]

KEY = "AAECAwQFBgcICQoLDA0ODw=="
UPGRADE = upgrade_request("/?pair=code", sec_websocket_key=KEY)
TIMEOUT = 10.0


def health() -> str:
    """Return what a relay with two pairs would."""
    return '{"ok":true,"pairs":2}'


def judged(head: bytes) -> Upgrade | Answer:
    """Judge a head that is valid HTTP."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    return judge(request, health)


def refused(head: bytes) -> tuple[int, str]:
    """Return the status and body with which a head is sent away."""
    answer = judged(head)
    assert isinstance(answer, Answer)
    return answer.status, answer.body


def plain(target: str, method: str = "GET", *lines: str) -> bytes:
    """Return the head of a request that is no upgrade."""
    return "\r\n".join((f"{method} {target} HTTP/1.1", "Host: relay", *lines, "", "")).encode()


# Upgrades.


@pytest.mark.parametrize("path", ["/", "/health", "/any/where", "//", "/%ff", "http://host/x"])
def test_path_of_an_upgrade_is_not_interpreted(path: str) -> None:
    """An upgrade is let in whatever its path, and its answer has nothing of it but its key."""
    upgrade = judged(upgrade_request(f"{path}?pair=code", sec_websocket_key=KEY, cookie="s3cret"))
    assert isinstance(upgrade, Upgrade)
    assert upgrade.code == "code"
    assert upgrade.response == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(KEY).encode() + b"\r\n\r\n"
    )


def test_code_is_in_no_representation() -> None:
    """An upgrade can be written to a log: its code is not in it."""
    assert "s3cret" not in repr(judged(upgrade_request("/?pair=s3cret")))


@pytest.mark.parametrize(
    "headers",
    [
        {"upgrade": "WebSocket"},
        {"upgrade": "h2c, websocket"},
        {"connection": "keep-alive, upgrade"},
        {"connection": "UPGRADE"},
        {"content_length": "0"},
        {"origin": "https://elsewhere.example"},
        {"sec_websocket_extensions": "permessage-deflate"},
    ],
    ids=lambda headers: ",".join(headers.values()),
)
def test_headers_that_an_upgrade_may_have(headers: dict[str, str]) -> None:
    """Tokens are compared without case, in lists too, and what does not matter does not hurt."""
    assert isinstance(judged(upgrade_request("/?pair=code", **headers)), Upgrade)


BAD_KEY = "Sec-WebSocket-Key is not 16 bytes of base64"
BAD_VERSION = "only WebSocket version 13 is spoken here"
BAD_BODY = "an upgrade has no body"
BAD_CONNECTION = "an upgrade needs the header Connection: Upgrade"
BAD_PROTOCOL = "Sec-WebSocket-Protocol is not a list of tokens"
REFUSED: list[tuple[dict[str, str | None], int, str]] = [
    ({"connection": None}, 400, BAD_CONNECTION),
    ({"connection": "close"}, 400, BAD_CONNECTION),
    ({"connection": "upgraded"}, 400, BAD_CONNECTION),
    ({"host": "\xff"}, 400, "header is not ASCII"),
    ({"user_agent": "caf\xe9"}, 400, "header is not ASCII"),
    ({"sec_websocket_key": "\xff" * 24}, 400, "header is not ASCII"),
    ({"content_length": "1"}, 400, BAD_BODY),
    ({"transfer_encoding": "chunked"}, 400, BAD_BODY),
    ({"sec_websocket_version": None}, 426, BAD_VERSION),
    ({"sec_websocket_version": ""}, 426, BAD_VERSION),
    ({"sec_websocket_version": "8"}, 426, BAD_VERSION),
    ({"sec_websocket_version": "13, 8"}, 426, BAD_VERSION),
    ({"sec_websocket_version": "013"}, 426, BAD_VERSION),
    ({"sec_websocket_key": None}, 400, BAD_KEY),
    ({"sec_websocket_key": ""}, 400, BAD_KEY),
    ({"sec_websocket_key": base64.b64encode(bytes(15)).decode()}, 400, BAD_KEY),
    ({"sec_websocket_key": base64.b64encode(bytes(17)).decode()}, 400, BAD_KEY),
    ({"sec_websocket_key": KEY.rstrip("=")}, 400, BAD_KEY),
    ({"sec_websocket_key": "_" * 22 + "=="}, 400, BAD_KEY),
    ({"sec_websocket_key": KEY[:4] + " " + KEY[4:]}, 400, BAD_KEY),
    ({"sec_websocket_key": f"{KEY}, {KEY}"}, 400, BAD_KEY),
    ({"sec_websocket_protocol": ""}, 400, BAD_PROTOCOL),
    ({"sec_websocket_protocol": ", chat"}, 400, BAD_PROTOCOL),
    ({"sec_websocket_protocol": "two words"}, 400, BAD_PROTOCOL),
]


@pytest.mark.parametrize(
    ("headers", "status", "body"), REFUSED, ids=[ascii(headers) for headers, _, _ in REFUSED]
)
def test_upgrade_that_is_refused(headers: dict[str, str | None], status: int, body: str) -> None:
    """An upgrade that is not as RFC 6455 section 4 has it is refused with the reason."""
    assert refused(upgrade_request("/?pair=code", **headers)) == (status, body)


def test_header_given_twice_is_a_list() -> None:
    """A header that comes twice counts as one with both values."""
    twice = UPGRADE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Version: 13\r\n\r\n")
    assert refused(twice) == (426, BAD_VERSION)
    upgrade = judged(UPGRADE.replace(b"\r\n\r\n", b"\r\nUpgrade: h2c\r\n\r\n"))
    assert isinstance(upgrade, Upgrade)


def test_old_http_has_no_upgrade() -> None:
    """An upgrade by HTTP/1.0 is refused, as section 4.1 asks for 1.1."""
    assert refused(UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0")) == (400, "an upgrade needs HTTP/1.1")


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "get"])
def test_upgrade_is_a_get(method: str) -> None:
    """An upgrade by another method is told which one to use."""
    answer = judged(UPGRADE.replace(b"GET", method.encode(), 1))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.headers) == (405, (("Allow", "GET"),))


@pytest.mark.parametrize(
    ("offer", "accepted"),
    [("chat", "chat"), ("chat, other", "chat"), ("a.b/c, d", None), (" v1.x_y~! ,", "v1.x_y~!")],
)
def test_first_subprotocol_is_accepted(offer: str, accepted: str | None) -> None:
    """Of the offered subprotocols the first is accepted, and no other."""
    head = upgrade_request("/?pair=code", sec_websocket_protocol=offer)
    if accepted is None:
        assert refused(head) == (400, BAD_PROTOCOL)
        return
    upgrade = judged(head)
    assert isinstance(upgrade, Upgrade)
    assert upgrade.response.endswith(f"\r\nSec-WebSocket-Protocol: {accepted}\r\n\r\n".encode())


# The pair code.


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("pair=code", "code"),
        ("x=1&pair=code&y", "code"),
        ("&&pair=code", "code"),
        ("pair=first&pair=second", "first"),
        ("pair=a+b", "a b"),
        ("pair=a%2Bb", "a+b"),
        ("pair=%20", " "),
        ("pair=a%26b%3dc", "a&b=c"),
        ("pair=a=b", "a=b"),
        ("pair=a;b?c", "a;b?c"),
        ("pair=%00", "\0"),
        ("pair=%zz", "%zz"),
        ("pair=gr%C3%BC%c3%9fe", "grüße"),
        ("p%61ir=code", "code"),
        ("pair=code#part", "code"),
        ("pair=" + "x" * MAX_CODE, "x" * MAX_CODE),
        ("pair=" + quote("😀" * MAX_CODE), "😀" * MAX_CODE),
    ],
)
def test_pair_code(query: str, code: str) -> None:
    """The code is the first pair parameter, decoded as any query; its characters are counted."""
    assert pair_code(f"/path?{query}".encode()) == code


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/?",
        "/pair=code",
        "/?pair",
        "/?pair=",
        "/?pair=&pair=code",
        "/?Pair=code",
        "/?pairs=code",
        "/?pai=code",
        "/?x#&pair=code",
        "/?pair=%ff",
        "/?pair=%c3",
        "/?pair=%ed%a0%80",
        "/?pair=%c0%80",
        "/?pair=%ff&pair=code",
        "/?pair=" + "x" * (MAX_CODE + 1),
        "/?pair=" + quote("😀" * (MAX_CODE + 1)),
    ],
)
def test_no_pair_code(target: str) -> None:
    """A code that is absent, empty, too long or not UTF-8 is refused; no later one stands in."""
    assert pair_code(target.encode()) is None
    assert refused(upgrade_request(target)) == (400, "missing or invalid pair code")


# Plain HTTP.


@pytest.mark.parametrize("target", ["/health", "/health/", "/health?x=1", "/health?pair=code"])
def test_health(target: str) -> None:
    """The health of the relay is JSON, with or without a slash or a query."""
    answer = judged(plain(target))
    assert answer == Answer(HTTPStatus.OK, health(), content_type="application/json")


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [
        ("/", "GET", 404),
        ("/?pair=code", "GET", 404),
        ("/healthy", "GET", 404),
        ("/health//", "GET", 404),
        ("/Health", "GET", 404),
        ("/", "POST", 404),
        ("*", "OPTIONS", 404),
        ("/health", "POST", 405),
        ("/health/", "DELETE", 405),
        ("/health", "get", 405),
    ],
)
def test_plain_request_that_is_refused(target: str, method: str, status: int) -> None:
    """Any path but that of the health is unknown, and that has one method."""
    answer = judged(plain(target, method))
    assert isinstance(answer, Answer)
    assert answer.status == status
    assert answer.headers == ((("Allow", "GET"),) if status == 405 else ())
    assert not answer.bodiless


@pytest.mark.parametrize("lines", [("Upgrade: h2c",), ("Upgrade: websocket2",), ("X: \u00ff",)])
def test_what_is_no_upgrade_is_plain(lines: tuple[str, ...]) -> None:
    """A request that does not ask for WebSocket is answered as any, whatever its headers."""
    answer = judged(plain("/health", "GET", "Connection: Upgrade", *lines))
    assert isinstance(answer, Answer)
    assert answer.status == 200


@pytest.mark.parametrize(("target", "status"), [("/", 404), ("/health", 405)])
def test_head_has_no_body(target: str, status: int) -> None:
    """The answer to HEAD is that to any other wrong method, without its body."""
    answer = judged(plain(target, "HEAD"))
    assert isinstance(answer, Answer)
    assert answer.status == status
    assert answer.bodiless
    assert bytes(answer).endswith(b"\r\n\r\n")
    assert f"Content-Length: {len(answer.body)}\r\n".encode() in bytes(answer)


def test_head_with_upgrade_has_no_body() -> None:
    """The answer to HEAD has no body, also if it asks for an upgrade."""
    answer = judged(UPGRADE.replace(b"GET", b"HEAD", 1))
    assert isinstance(answer, Answer)
    assert bytes(answer).endswith(b"\r\n\r\n")


ANSWERS = [value for value in vars(door).values() if isinstance(value, Answer)]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.body)
def test_answer_is_http(answer: Answer) -> None:
    """Every answer says that the connection ends, and has one line of text of a known length."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "relay")]))
    client.receive_data(bytes(answer))
    response, body = client.next_event(), client.next_event()
    assert isinstance(response, h11.Response)
    assert isinstance(body, h11.Data)
    assert isinstance(client.next_event(), h11.EndOfMessage)
    assert client.trailing_data == (b"", False)
    headers = dict(response.headers)
    assert response.status_code == answer.status >= 400
    assert response.reason == answer.status.phrase.encode()
    assert headers[b"connection"] == b"close"
    assert headers[b"content-type"] == b"text/plain; charset=utf-8"
    assert body.data.decode() == answer.body
    assert answer.body.isprintable()
    for name, value in answer.headers:
        assert headers[name.lower().encode()] == value.encode()


def test_statuses_of_the_contract() -> None:
    """The answers that need no request to be looked at are those of the contract."""
    assert (PAIR_IS_FULL.status, PAIR_IS_FULL.body) == (409, "pair is full")
    assert {answer.status for answer in ANSWERS} == {400, 404, 405, 408, 409, 426, 431}
    assert ("Sec-WebSocket-Version", "13") in door.WRONG_VERSION.headers


# Reading the head.


@dataclass
class Doorway:
    """A client in front of the door."""

    client: MemoryStream
    wire: Wire

    async def knock(self, *pieces: bytes) -> Upgrade | Answer | None:
        """Send pieces, each as soon as the one before is read, and read the head."""
        result: Upgrade | Answer | None = None

        async def read() -> None:
            nonlocal result
            result = await read_head(self.wire, TIMEOUT, health)

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
    return Doorway(client, open_wire(server, nursery))


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
    upgrade = await doorway.knock(UPGRADE)
    assert isinstance(upgrade, Upgrade)
    assert upgrade.code == "code"


@pytest.mark.parametrize("request_", [UPGRADE, UPGRADE.replace(b"\r\n", b"\n")])
async def test_head_byte_by_byte(doorway: Doorway, request_: bytes) -> None:
    """A head may come a byte at a time, its lines with or without a carriage return."""
    upgrade = await doorway.knock(*[bytes((byte,)) for byte in request_])
    assert upgrade == judged(UPGRADE)


@pytest.mark.parametrize("size", [1, 100, 70000])
async def test_rest_behind_the_head_is_kept(doorway: Doorway, size: int) -> None:
    """What a client sends behind its head, before any answer, is there for the next reader."""
    rest = bytes(i % 251 for i in range(size))
    assert isinstance(await doorway.knock(UPGRADE + rest), Upgrade)
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
    assert isinstance(await doorway.knock(head[:cut], head[cut:] + b"rest"), Upgrade)
    assert await doorway.wire.receive_some(100) == b"rest"


@pytest.mark.parametrize("cut", [1, 1000, MAX_HEAD - 1, MAX_HEAD])
async def test_head_over_the_limit(doorway: Doorway, cut: int) -> None:
    """A head of one byte more is refused, in however many pieces it comes."""
    head = fill(MAX_HEAD + 1)
    answer = await doorway.knock(head[:cut], head[cut:])
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (431, "head is larger than 16384 bytes")


async def test_endless_request_line(doorway: Doorway) -> None:
    """A request line without an end is refused at the limit."""
    answer = await doorway.knock(b"GET /" + b"x" * MAX_HEAD)
    assert isinstance(answer, Answer)
    assert answer.status == 431


@pytest.mark.parametrize("said", [b"", b"G", UPGRADE[:-1]], ids=["silent", "begun", "all-but-one"])
async def test_head_that_does_not_come(
    doorway: Doorway, said: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """A client that does not finish its head is sent away after the time it has."""
    start = trio.current_time()
    answer = await doorway.knock(said)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (408, "head did not arrive in time")
    assert trio.current_time() - start == TIMEOUT


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
    answer = await read_head(doorway.wire, TIMEOUT, health)
    assert isinstance(answer, Answer)
    assert answer.status == 408
    assert trio.current_time() - start == TIMEOUT
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "said",
    [
        b"hello\r\n",
        b"\n",
        b"\r\n\r\n",
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
    """What is not HTTP/1 is refused at once, without an empty line to wait for."""
    start = trio.current_time()
    answer = await doorway.knock(said)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (400, "not a valid HTTP request")
    assert trio.current_time() == start


async def test_garbage_in_pieces(doorway: Doorway, autojump_clock: trio.testing.MockClock) -> None:
    """A line that is not HTTP is refused when its end comes, however it was cut."""
    start = trio.current_time()
    answer = await doorway.knock(b"hel", b"lo\r", b"\n")
    assert isinstance(answer, Answer)
    assert answer.status == 400
    assert trio.current_time() == start


async def test_non_ascii_header_is_survived(doorway: Doorway) -> None:
    """A header that is not ASCII is an answer like any other, and no error."""
    answer = await doorway.knock(upgrade_request("/?pair=code", host="\xff"))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (400, "header is not ASCII")


async def test_client_leaves_during_its_head(nursery: trio.Nursery) -> None:
    """A client that ends its stream gets no place at any point, and an answer if it spoke."""
    for size in range(len(UPGRADE)):
        doorway = meet(nursery)
        await doorway.client.send_all(UPGRADE[:size])
        await doorway.client.send_eof()
        answer = await read_head(doorway.wire, TIMEOUT, health)
        if size:
            assert isinstance(answer, Answer)
            assert answer.status == 400
        else:
            assert answer is None


async def test_client_ends_its_stream_behind_the_head(doorway: Doorway) -> None:
    """A client that ends its stream right behind its head is judged by it all the same."""
    await doorway.client.send_all(UPGRADE)
    await doorway.client.send_eof()
    assert isinstance(await read_head(doorway.wire, TIMEOUT, health), Upgrade)
    assert await doorway.wire.receive_some(100) == b""


async def test_client_breaks_during_its_head(nursery: trio.Nursery) -> None:
    """A client that is reset at any point of its head is gone; there is nobody to answer."""
    for size in range(len(UPGRADE)):
        wire = open_wire(Broken(UPGRADE[:size]), nursery)
        assert await read_head(wire, TIMEOUT, health) is None
        assert wire.broken


async def test_wire_is_closed_during_the_head(doorway: Doorway, nursery: trio.Nursery) -> None:
    """If the relay closes the stream meanwhile, there is nobody to answer either."""

    async def close() -> None:
        await trio.testing.wait_all_tasks_blocked()
        await doorway.wire.aclose()

    nursery.start_soon(close)
    assert await read_head(doorway.wire, TIMEOUT, health) is None


# Sending the answer.


async def test_answer_is_sent_and_the_client_leaves(
    doorway: Doorway, autojump_clock: trio.testing.MockClock
) -> None:
    """A client gets its answer and the end of the stream, and is done with when it leaves."""
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_answer, doorway.wire, PAIR_IS_FULL)
        assert await doorway.said() == bytes(PAIR_IS_FULL)
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
        await send_answer(doorway.wire, PAIR_IS_FULL)
        nursery.cancel_scope.cancel()
    assert trio.current_time() - start == door.LINGER
    await doorway.wire.aclose()
    assert await doorway.said() == bytes(PAIR_IS_FULL)


async def test_client_that_does_not_take_its_answer(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A client that does not read its answer is waited for just as long."""
    _client, server = trio.testing.lockstep_stream_pair()
    start = trio.current_time()
    await send_answer(open_wire(server, nursery), PAIR_IS_FULL)
    assert trio.current_time() - start == door.LINGER
    nursery.cancel_scope.cancel()


async def test_client_that_is_gone(
    doorway: Doorway, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """An answer to a client that left or broke is given up at once and raises nothing."""
    start = trio.current_time()
    await doorway.client.aclose()
    for wire in (doorway.wire, open_wire(Broken(b""), nursery)):
        await send_answer(wire, PAIR_IS_FULL)
        assert wire.broken
    assert trio.current_time() == start
