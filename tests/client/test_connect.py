"""A guest on the way to its session."""

from __future__ import annotations

import ssl

import pytest
import trio
import trio.testing
import trustme

from relay.client import (
    Link,
    NoRelay,
    PeerAborted,
    ProtocolViolation,
    Refused,
    ResumeTimeout,
    Retrying,
    Waiting,
    WaitTimeout,
    WrongKey,
)
from relay.client.channel import accept, wait_for_peer
from relay.client.endpoint import Endpoint
from relay.client.messages import NewSession, Ping, Request
from tests.support.endpoints import Endpoints, echo, response

FULL = response("409 Conflict", "pair is full", "Retry-After: 5")
STOPPING = response("503 Service Unavailable", "relay is stopping", "Retry-After: 5")
BUSY = response("429 Too Many Requests", "too many attempts from this client", "Retry-After: 40")
NO_HOST = response("401 Unauthorized", "opening a new code needs a token")
NOT_FOUND = response(
    "404 Not Found", "not found: this is a WebSocket relay", "Arc-Relay-Pair: 0123456789"
)


async def use(endpoints: Endpoints) -> None:
    """Open a session and exchange a byte."""
    async with endpoints.connect() as session:
        await session.send_all(b"a")
        assert await session.receive_some() == b"a"


async def test_guest_waits_for_host(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """A guest waits for hours without an event, though the relay ends sides that wait."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(use, endpoints)
        await trio.sleep(7200)
        assert endpoints.guest.events == [Waiting()]
        assert len(endpoints.guest.lines) >= 20
        await endpoints.serve(echo)


async def test_wait_timeout(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """A guest waits no longer than it is told."""
    with pytest.raises(WaitTimeout, match="did not connect in time"):
        async with endpoints.connect(wait_timeout=1000):
            pass
    assert trio.current_time() == pytest.approx(1000)


@pytest.mark.parametrize(
    ("answer", "error", "text", "pair"),
    [
        (NOT_FOUND, Refused, "404 not found: this is a WebSocket relay", "0123456789"),
        (response("200 OK", "<p>a page</p>"), Refused, "200", None),
        (response("403 No", "<b>key</b>"), Refused, "403", None),
        (b"SSH-2.0-OpenSSH\r\n", NoRelay, "does not answer like a relay", None),
        (b"", NoRelay, "does not answer like a relay", None),
        (b"HTTP/1.1 404 x\r\n\r\n" + bytes(300_000), NoRelay, "not answer like a relay", None),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", NoRelay, "like a relay", None),
    ],
)
async def test_first_answer(
    endpoints: Endpoints,
    autojump_clock: trio.testing.MockClock,
    *,
    answer: bytes,
    error: type[Refused | NoRelay],
    text: str,
    pair: str | None,
) -> None:
    """An answer that cannot change ends the first attempt."""
    endpoints.guest.responses.append(answer)
    with pytest.raises(error, match=text) as caught:
        await use(endpoints)
    assert getattr(caught.value, "pair_hash", None) == pair
    assert trio.current_time() < 1


async def test_silent_server(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """A server that does not answer is no relay, after 10 s."""
    client, _ = trio.testing.memory_stream_pair()

    async def open_stream() -> trio.abc.Stream:
        return client

    with pytest.raises(NoRelay):
        async with endpoints.connect(open_stream=open_stream):
            pass
    assert trio.current_time() == pytest.approx(10)


async def test_no_connection(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """The first attempt fails at once if connections are refused, or after 2.5 s of silence."""
    endpoints.guest.is_offline = True
    with pytest.raises(NoRelay, match="connection refused"):
        await use(endpoints)

    async def open_stream() -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    with pytest.raises(NoRelay, match=r"within 2\.5 s"):
        async with endpoints.connect(open_stream=open_stream):
            pass
    assert trio.current_time() == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("answer", "low", "high"),
    [
        ([FULL] * 5, 0, 5),
        ([STOPPING], 0, 1),
        ([BUSY], 40, 42),
        ([NO_HOST] * 20, 1, 20),
    ],
    ids=["full", "stopping", "busy", "no host"],
)
async def test_temporary_answers(
    endpoints: Endpoints,
    autojump_clock: trio.testing.MockClock,
    answer: list[bytes],
    low: float,
    high: float,
) -> None:
    """A guest repeats a request whose answer can change."""
    await endpoints.serve(echo)
    endpoints.guest.responses += answer
    begin = trio.current_time()
    await use(endpoints)
    assert low <= trio.current_time() - begin < high + 1
    assert [event.session_id for event in endpoints.guest.of(Retrying)] == [None] * len(answer)
    assert "the relay answered 4" in endpoints.guest.reasons[0] or answer == [STOPPING]


async def test_wrong_key(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """A guest with another key gives up; the host reports it, and serves others."""
    await endpoints.serve(echo)
    wrong = Link(endpoints.link.url, endpoints.link.code, bytes(32))
    with pytest.raises(WrongKey):
        async with endpoints.connect(link=wrong):
            pass
    assert trio.current_time() < 1
    await trio.sleep(1)
    assert "the peer does not have the key of this link" in endpoints.host.reasons
    await use(endpoints)


async def peer(endpoints: Endpoints, *answers: bytes, key: bytes | None = None) -> None:
    """Answer the handshake of one guest like a host, and then with these plaintexts."""
    link = endpoints.link
    dialer = Endpoint(link, is_host=True, open_stream=endpoints.host.open_line)
    async with dialer.open(link.code, 0) as websocket:
        first = await wait_for_peer(websocket)
        if key is not None:
            await websocket.send(first[:32] + bytes(16))
            await trio.sleep(1)
            return
        channel, request = await accept(websocket, link, first)
        assert isinstance(request, Request)
        for answer in answers:
            await channel.send(answer)
        await trio.sleep(20)


async def test_wrong_key_of_host(
    endpoints: Endpoints, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A guest gives up if the handshake message of the host does not decrypt."""

    async def run() -> None:
        await peer(endpoints, key=bytes(32))

    nursery.start_soon(run)
    with pytest.raises(WrongKey):
        await use(endpoints)


async def test_two_guests_without_host(
    endpoints: Endpoints, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """Guests that meet each other try again, and meet the host later."""
    async with trio.open_nursery() as guests:
        guests.start_soon(use, endpoints)
        guests.start_soon(use, endpoints)
        await trio.sleep(5)
        await endpoints.serve(echo)
    assert "another guest of this link is connected in place of the host" in endpoints.guest.reasons


async def test_silent_host(
    endpoints: Endpoints, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A guest tries again if the host does not answer its request in time."""
    nursery.start_soon(peer, endpoints)
    with trio.move_on_after(15):
        await use(endpoints)
    assert "the host did not answer in time" in endpoints.guest.reasons


async def test_violation_of_host(
    endpoints: Endpoints, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A guest gives up if the host answers with a message that is not allowed."""
    nursery.start_soon(peer, endpoints, Ping().encode())
    with pytest.raises(ProtocolViolation):
        await use(endpoints)


async def test_host_does_not_join_session(
    endpoints: Endpoints, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A guest whose host never joins the session gives up after 30 s."""
    answer = NewSession("A" * 22, bytes(32)).encode()
    nursery.start_soon(peer, endpoints, answer)
    with pytest.raises(ResumeTimeout):
        await use(endpoints)
    assert trio.current_time() == pytest.approx(30, abs=2)


async def test_refused_guest(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """A guest beyond the limit of the host is refused; there is room again later."""
    await endpoints.serve(echo, max_sessions=1)
    async with endpoints.connect() as session:
        with pytest.raises(PeerAborted, match="serves no further guest") as caught:
            await use(endpoints)
        assert caught.value.reason_code == 3
        await session.send_eof()
        assert await session.receive_some() == b""
    await trio.sleep(1)
    await use(endpoints)


async def test_relay_goes_silent_while_guest_waits(
    endpoints: Endpoints, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A guest whose connection died silently connects again within 35 s."""
    nursery.start_soon(use, endpoints)
    await trio.sleep(60)
    endpoints.guest.lines[-1].is_silent = True
    await trio.sleep(36)
    assert endpoints.guest.reasons == ["the relay did not answer a ping"]
    assert endpoints.guest.events[-1] == Waiting()
    await endpoints.serve(echo)


async def test_tls(endpoints: Endpoints, nursery: trio.Nursery) -> None:
    """The certificate of the relay is verified."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("relay.example").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    secure = Link("wss://relay.example/", endpoints.link.code, endpoints.link.key)
    server: trio.abc.Stream

    async def open_stream() -> trio.abc.Stream:
        nonlocal server
        client, server = trio.testing.memory_stream_pair()
        return client

    async def serve_tls(is_relay: bool) -> None:
        await trio.testing.wait_all_tasks_blocked()
        if not is_relay:
            await server.receive_some()
            await server.aclose()
            return
        stream = trio.SSLStream(server, context, server_side=True, https_compatible=True)
        try:
            await stream.receive_some()
            await stream.send_all(NOT_FOUND)
        except trio.BrokenResourceError:
            await stream.aclose()

    for is_relay, client_context, text in (
        (True, trusting, "404"),
        (True, ssl.create_default_context(), "certificate refused"),
        (False, trusting, "closed the connection during the TLS handshake"),
    ):
        nursery.start_soon(serve_tls, is_relay)
        with pytest.raises((Refused, NoRelay), match=text):
            async with endpoints.connect(
                link=secure, ssl_context=client_context, open_stream=open_stream
            ):
                pass


async def test_stuck_tls(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """A server that does not answer the TLS handshake is given up after 10 s."""
    client, _ = trio.testing.memory_stream_pair()

    async def open_stream() -> trio.abc.Stream:
        return client

    secure = Link("wss://relay.example/", endpoints.link.code, endpoints.link.key)
    with pytest.raises(NoRelay, match="no TLS handshake within 10 s"):
        async with endpoints.connect(link=secure.text, open_stream=open_stream):
            pass


async def test_host_name_too_long_for_tls(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """A host name that TLS cannot carry fails like any other TLS handshake."""
    link = Link.new(f"wss://{'.'.join(['a' * 60] * 5)}/")
    with pytest.raises(NoRelay, match=r"^TLS handshake failed: "):
        async with endpoints.connect(link=link):
            pass
