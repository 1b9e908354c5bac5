"""A relay over TLS, its own or an embedding program's, behaves like one without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from relay import RelaySettings, serve_relay
from relay.daemon.tls import CertificateFiles
from relay.pairing.early_data import EARLY_DATA_LIMIT
from tests.support.certificates import Certificate, client_context
from tests.support.raw_client import CLOSE, Client, encode, encode_close
from tests.support.relay_fixtures import RealTimeRelay

STOPPING = (1001, "relay stopping")


class TlsRelay(RealTimeRelay):
    """Relay that speaks TLS on a real port."""

    async def open_stream(self, *, lockstep: bool = False) -> trio.abc.Stream:
        assert not lockstep
        tcp = await trio.open_tcp_stream("127.0.0.1", self.handle.port)
        context = client_context()
        return trio.SSLStream(tcp, context, server_hostname="localhost", https_compatible=True)


@pytest.fixture
def close_timeout() -> float:
    """Return the close timeout of the relay in seconds."""
    return 1


@pytest.fixture(params=["own", "embedder's"])
async def tls_relay(
    request: pytest.FixtureRequest, nursery: trio.Nursery, tmp_path: Path, close_timeout: float
) -> AsyncIterator[TlsRelay]:
    """Run a relay with a certificate; it must be empty once its clients have left."""
    certificate = Certificate(tmp_path)
    files = CertificateFiles(str(certificate.cert), str(certificate.key))
    tcp = await trio.open_tcp_listeners(0, host="127.0.0.1")
    listeners: list[Any]
    if request.param == "own":
        listeners = list(files.wrap(tcp))
    else:
        listeners = [
            trio.SSLListener(listener, files.context, https_compatible=True) for listener in tcp
        ]
    relay = TlsRelay()
    serve = partial(
        serve_relay, listeners=listeners, settings=RelaySettings(close_timeout=close_timeout)
    )
    relay.handle = await nursery.start(serve)
    yield relay
    await relay.end()


async def test_address(tls_relay: TlsRelay) -> None:
    """The handle has the address below the TLS."""
    assert tls_relay.handle.host == "127.0.0.1"
    assert (await (await tls_relay.connect()).get("/health")).status == 200


async def test_both_ways_at_once(tls_relay: TlsRelay) -> None:
    """Messages of several MiB cross in both directions at the same time."""
    a, b = await tls_relay.pair()
    payload = bytes(range(256)) * 2**13
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.send_message, payload)
        nursery.start_soon(b.send_message, payload[::-1])
        nursery.start_soon(expect_message, a, payload[::-1])
        nursery.start_soon(expect_message, b, payload)


async def expect_message(client: Client, payload: bytes) -> None:
    """Receive one message, which must have this payload."""
    assert await client.message() == payload


async def test_held_and_close(tls_relay: TlsRelay) -> None:
    """Early data is held, and a close frame follows the data that was sent before it."""
    a = await tls_relay.join("code")
    await a.send_message(b"early")
    b = await tls_relay.join("code")
    await b.send(encode_close(4000, "bye"))
    assert await b.message() == b"early"
    assert await b.close_frame() == (4000, "bye")
    assert await a.closed() == (1000, "peer disconnected")


async def test_violation(tls_relay: TlsRelay) -> None:
    """A violation gets its code, although a `trio.SSLStream` cannot end one direction alone."""
    a, b = await tls_relay.pair()
    await a.send(encode(0x3))
    assert await a.close_frame() == (1002, "unknown opcode")
    assert await b.close_frame() == (1011, "peer disconnected")
    assert await a.rest() == b""


@pytest.mark.parametrize("close_timeout", [30])  # to read the message takes time on a busy machine
async def test_stop_between_frames(tls_relay: TlsRelay) -> None:
    """A side that reads a large message slowly gets whole frames, and then 1001."""
    a, b = await tls_relay.pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_until_it_fails, b)
        await trio.testing.wait_all_tasks_blocked(0.05)  # the relay is blocked inside a frame
        nursery.start_soon(tls_relay.handle.stop)
        await trio.testing.wait_all_tasks_blocked(0.05)
        frame = await a.frame()
        while frame.opcode != CLOSE:
            assert not frame.fin
            frame = await a.frame()
        assert frame.payload == b"\x03\xe9relay stopping"
        await a.send(encode_close(1001))
        await trio.aclose_forcefully(b.stream)  # it would not answer the close frame


async def send_until_it_fails(client: Client) -> None:
    """Send one message that is larger than all buffers between the ends."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await client.send(encode(0x2, bytes(32 * 2**20)))


async def test_leaving_is_seen_past_the_limit(tls_relay: TlsRelay) -> None:
    """The relay notices at once that a side left, although it does not read the side any more."""
    a = await tls_relay.join("code")
    await a.send_message(bytes(2 * EARLY_DATA_LIMIT))
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert tls_relay.handle.statistics().waiting == 1
    await trio.aclose_forcefully(a.stream)
    with trio.fail_after(5):
        while tls_relay.handle.statistics().pairs:
            await trio.sleep(0.001)


async def test_no_tls(tls_relay: TlsRelay) -> None:
    """A client that does not speak TLS is dropped, and no other client notices."""
    a, b = await tls_relay.pair()
    async with await trio.open_tcp_stream("127.0.0.1", tls_relay.handle.port) as plain:
        await plain.send_all(b"GET /health HTTP/1.1\r\nHost: relay\r\n\r\n")
        while await plain.receive_some(1000):
            pass
    await a.send_message(b"undisturbed")
    assert await b.message() == b"undisturbed"
