"""Failed TLS handshakes: the bytes that the client gets, the counters and the events."""

from __future__ import annotations

import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from relay import TlsFailure, TlsHandshakeFailed
from relay.transport.tls_failure import HandshakeFailure, classify_failure
from tests.support.certificates import client_context
from tests.support.raw_client import Client
from tests.support.running_relay import WatchedRelay
from tests.support.tls_peers import TlsPeer
from tests.support.tls_relays import dial, join, running_tls, speak_tls

# A ClientHello with a version, a random, no session, one suite, no compression, and the extensions
# that say which signature and curve the client knows.
HELLO = (
    "160301 003f 01 00003b 03{minor}"
    + 32 * "00"
    + "00 0002 c02b 01 00 0010 000d 0004 0002 0403 000a 0004 0002 0017"
)
ALERT, HANDSHAKE = 0x15, 0x16


@pytest.fixture(params=["own", "embedder's"])
def embedded(request: pytest.FixtureRequest) -> bool:
    """Return True if TLS is that of the embedding program."""
    return bool(request.param != "own")


@pytest.fixture
def time_allowed() -> float:
    """Return the handshake timeout, which a test of the timeout shortens."""
    return 10


@pytest.fixture
async def relay(
    tmp_path: Path, time_limit: None, time_allowed: float, *, embedded: bool
) -> AsyncIterator[WatchedRelay]:
    """Run a relay with this handshake timeout."""
    async with running_tls(tmp_path, embedded=embedded, handshake_timeout=time_allowed) as relay:
        yield relay


async def sent(client: trio.SocketStream, data: bytes) -> bytes:
    """Send data, and return the bytes up to the end of the connection."""
    with suppress(trio.BrokenResourceError):
        await client.send_all(data)
        return b"".join([data async for data in client])
    return b""


async def sent_inside(client: trio.SocketStream, data: bytes) -> bytes:
    """Send data behind a ClientHello that was answered."""
    await client.send_all(bytes.fromhex(HELLO.format(minor="03")))
    flight = bytes(await client.receive_some(65536))
    assert flight[0] == HANDSHAKE
    return await sent(client, data)


async def refuses(client: trio.SocketStream, context: ssl.SSLContext) -> bytes:
    """Make a handshake fail, and return the bytes behind it."""
    with pytest.raises(ssl.SSLError):
        await TlsPeer(client, context).shake_hands()
    return await sent(client, b"")


async def plain_http(client: trio.SocketStream) -> bytes:
    """Speak HTTP."""
    return await sent(client, b"GET /health HTTP/1.1\r\nHost: canary\r\n\r\n")


async def not_tls(client: trio.SocketStream) -> bytes:
    """Speak another protocol."""
    return await sent(client, b"SSH-2.0-OpenSSH_9.2p1 canary\r\n")


async def old_version(client: trio.SocketStream) -> bytes:
    """Speak only TLS 1.1."""
    return await sent(client, bytes.fromhex(HELLO.format(minor="02")))


async def old_client(client: trio.SocketStream) -> bytes:
    """Refuse the version that the server chose."""
    return await sent_inside(client, bytes((ALERT, 3, 3, 0, 2, 2, 70)))


async def other_cipher(client: trio.SocketStream) -> bytes:
    """Offer only suites for another kind of key."""
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    return await refuses(client, context)


async def distrust(client: trio.SocketStream) -> bytes:
    """Trust another authority."""
    return await refuses(client, ssl.create_default_context())


async def distrust_in_tls_1_2(client: trio.SocketStream) -> bytes:
    """Trust another authority, with TLS 1.2."""
    context = ssl.create_default_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return await refuses(client, context)


async def alert(client: trio.SocketStream) -> bytes:
    """Send another alert."""
    return await sent_inside(client, bytes((ALERT, 3, 3, 0, 2, 2, 80)))


async def malformed(client: trio.SocketStream) -> bytes:
    """Send a ClientHello with a wrong length."""
    return await sent(
        client, bytes.fromhex(HELLO.format(minor="03").replace("0010 000d", "0011 000d"))
    )


async def ended_at_once(client: trio.SocketStream) -> bytes:
    """Leave without a byte, as checks of a TCP port do."""
    await client.send_eof()
    return b"".join([data async for data in client])


async def ended(client: trio.SocketStream) -> bytes:
    """Leave inside the ClientHello."""
    await client.send_all(bytes.fromhex(HELLO.format(minor="03"))[:20])
    return await ended_at_once(client)


async def reset(client: trio.SocketStream) -> bytes:
    """Reset the connection."""
    await client.send_all(b"\x16")
    client.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))
    await client.aclose()
    return b""


async def silent(client: trio.SocketStream) -> bytes:
    """Send nothing."""
    return await sent(client, b"")


async def slow(client: trio.SocketStream) -> bytes:
    """Stop inside the ClientHello."""
    return await sent(client, bytes.fromhex(HELLO.format(minor="03"))[:20])


async def slow_finish(client: trio.SocketStream) -> bytes:
    """Stop before the last message of the handshake."""
    outgoing = ssl.MemoryBIO()
    tls = client_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    flight = await sent(client, outgoing.read())
    assert flight[0] == HANDSHAKE
    assert b"HTTP" not in flight
    return b""


@pytest.mark.parametrize(
    ("fail", "kind", "alerted", "time_allowed"),
    [
        (plain_http, TlsFailure.PLAIN_HTTP, False, 10),
        (not_tls, TlsFailure.NOT_TLS, None, 10),
        (old_version, TlsFailure.NO_SHARED_VERSION, True, 10),
        (old_client, TlsFailure.NO_SHARED_VERSION, False, 10),
        (other_cipher, TlsFailure.NO_SHARED_CIPHER, False, 10),
        (distrust, TlsFailure.CERTIFICATE_REFUSED, False, 10),
        (distrust_in_tls_1_2, TlsFailure.CERTIFICATE_REFUSED, False, 10),
        (alert, TlsFailure.CLIENT_ALERT, False, 10),
        (malformed, TlsFailure.OTHER, True, 10),
        (ended, TlsFailure.ENDED, None, 10),
        (reset, TlsFailure.RESET, False, 10),
        (slow, TlsFailure.TIMEOUT, False, 0.5),
        (slow_finish, TlsFailure.TIMEOUT, False, 1),
    ],
)
async def test_failure(
    relay: WatchedRelay,
    fail: Callable[[trio.SocketStream], Awaitable[bytes]],
    kind: TlsFailure,
    alerted: bool | None,
    *,
    embedded: bool,
) -> None:
    """A failure is counted by its kind, and answered with an alert or with nothing."""
    client = await dial(relay)
    await relay.adopt(client)
    answer = await fail(client)
    await relay.wait_for_connections(0)
    (event,) = relay.events_of(TlsHandshakeFailed)
    assert event.kind is kind, event
    assert event.client == "127.0.0.1"
    assert "canary" not in repr(event)
    assert relay.events == [event]
    assert relay.handle.statistics().tls_handshakes_failed == {kind.value: 1}
    assert relay.handle.statistics().tls_handshakes_failed == {kind: 1}
    # The client is told of a failure by an alert, and never by anything in clear.
    assert not answer or (answer[0], len(answer)) == (ALERT, 7), answer
    if alerted is not None and not embedded:
        assert bool(answer) is alerted


@pytest.mark.parametrize("time_allowed", [1])
async def test_head_too_slow_over_tls(relay: WatchedRelay) -> None:
    """Behind the TLS handshake, a head that does not arrive in time gets a response, in TLS."""
    client = await relay.adopt(speak_tls(await dial(relay)))
    await client.send(b"GET ")
    response = await client.read(12)
    assert response == b"HTTP/1.1 408"
    assert not relay.events_of(TlsHandshakeFailed)


async def test_others_do_not_notice(relay: WatchedRelay) -> None:
    """Pairs go on while handshakes fail."""
    a, b = await join(relay), await join(relay)
    async with Client(await dial(relay)) as client:
        await client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert await client.rest() == b""
    await a.send_message(b"undisturbed")
    assert await b.message() == b"undisturbed"


@pytest.mark.parametrize(
    ("reason", "kind", "detail"),
    [
        (None, TlsFailure.OTHER, ""),
        ("NO_SHARED_CIPHER", TlsFailure.NO_SHARED_CIPHER, "no shared cipher"),
        (
            "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
            TlsFailure.CERTIFICATE_REFUSED,
            "sslv3 alert certificate unknown",
        ),
        ("TLSV1_ALERT_PROTOCOL_VERSION", TlsFailure.NO_SHARED_VERSION, None),
        ("UNEXPECTED_MESSAGE", TlsFailure.OTHER, None),
    ],
)
def test_reasons(reason: str | None, kind: TlsFailure, detail: str | None) -> None:
    """Each reason code of OpenSSL maps to one of a fixed set of kinds."""
    error = ssl.SSLError()
    error.reason = reason  # type: ignore[assignment]
    failure = classify_failure(error)
    assert failure.kind is kind
    assert detail is None or failure.detail == detail


def test_no_tls_error() -> None:
    """Any other exception is a reset."""
    for error in (None, ConnectionResetError()):
        assert classify_failure(error) == HandshakeFailure(TlsFailure.RESET)


@pytest.mark.parametrize(("fail", "time_allowed"), [(ended_at_once, 10), (silent, 0.5)])
async def test_not_a_byte(
    relay: WatchedRelay,
    fail: Callable[[trio.SocketStream], Awaitable[bytes]],
    *,
    embedded: bool,
) -> None:
    """A client that sent nothing, as checks of a TCP port do, is no failure, and gets no byte."""
    client = await dial(relay)
    await relay.adopt(client)
    assert await fail(client) == b""
    await relay.wait_for_connections(0)
    # The listener of an embedding program does not tell what came.
    assert len(relay.events_of(TlsHandshakeFailed)) == embedded
