"""No end of a TLS connection leaves objects for the cyclic garbage collector.

The relay runs that collector rarely. A `trio.SSLStream` refers to itself, with all its buffers, and
so would each connection that had one.
"""

from __future__ import annotations

import gc
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel

from relay import TlsFailure
from tests.support.raw_client import BINARY, Client, encode, encode_close
from tests.support.running_relay import WatchedRelay
from tests.support.tls_relays import connect, dial, join, pair, running_tls

from . import test_tls_handshakes as handshakes

KEPT = ("relay.", "ssl", "_ssl")


@contextmanager
def no_collector() -> Iterator[None]:
    """Let only `garbage` collect cycles."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def garbage() -> list[str]:
    """Return the types of the server's objects in cycles."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    found = [
        f"{type(each).__module__}.{type(each).__qualname__}"
        for each in gc.garbage
        if type(each).__module__.startswith(KEPT)
        and not (isinstance(each, ssl.SSLObject) and not each.server_side)
        and not isinstance(each, ssl.SSLContext | ssl.MemoryBIO)
    ]
    gc.set_debug(0)
    gc.garbage.clear()
    return found


async def closes(relay: WatchedRelay) -> None:
    """Do a closing handshake."""
    a, b = await pair(relay)
    await a.send_message(b"message")
    assert await b.message() == b"message"
    await a.send(encode_close(1000))
    await a.close_frame()
    await b.closed()


async def vanishes(relay: WatchedRelay) -> None:
    """End TCP without an end of TLS."""
    a, b = await pair(relay)
    await trio.aclose_forcefully(a.stream)
    await b.closed()


async def resets(relay: WatchedRelay) -> None:
    """Reset the connection."""
    a, b = await pair(relay)
    assert isinstance(a.stream, trio.SSLStream)
    await Client(a.stream.transport_stream).reset()
    await b.closed()


async def forges(relay: WatchedRelay) -> None:
    """Send bytes that are not TLS."""
    a, b = await pair(relay)
    assert isinstance(a.stream, trio.SSLStream)
    await a.stream.transport_stream.send_all(b"\x17\x03\x03\x00\x20" + bytes(32))
    await b.closed()


async def breaks_a_rule(relay: WatchedRelay) -> None:
    """Violate a rule of RFC 6455."""
    a, b = await pair(relay)
    await a.send(encode(0x3))
    await a.close_frame()
    await b.closed()


async def stalls(relay: WatchedRelay) -> None:
    """Read nothing."""
    _, b = await pair(relay)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_until_closed, b)
        await b.close_frame()


async def send_until_closed(client: Client) -> None:
    """Send until the relay closes the connection."""
    try:
        while True:
            await client.send(encode(BINARY, bytes(2**18)))
    except trio.BrokenResourceError:
        pass


async def waits(relay: WatchedRelay) -> None:
    """Wait for a peer, and leave."""
    a = await join(relay)
    await a.send_message(b"early")
    await trio.aclose_forcefully(a.stream)


async def asks(relay: WatchedRelay) -> None:
    """Send plain requests, valid and invalid."""
    for target in ("/health", "/nothing"):
        await (await connect(relay)).get(target)


async def is_refused(relay: WatchedRelay) -> None:
    """Send no code, an invalid one, and the code of a full pair."""
    assert (await (await connect(relay)).upgrade("/")).status == 400
    await join(relay, "1")
    await join(relay, "2")
    assert (await (await connect(relay)).upgrade("/?pair=3")).status == 503
    assert (await (await connect(relay)).upgrade("/?pair=1")).status == 101
    assert (await (await connect(relay)).upgrade("/?pair=1")).status == 409


async def is_too_slow(relay: WatchedRelay) -> None:
    """Send half a head, or nothing."""
    client = await connect(relay)
    await client.send(b"GET /")
    assert (await client.response()).status == 408
    silent = await connect(relay)
    assert isinstance(silent.stream, trio.SSLStream)
    await silent.stream.do_handshake()
    await silent.rest()


def fails(fail: Callable[[trio.SocketStream], Awaitable[bytes]]) -> Scenario:
    """Return a client whose handshake fails in this way."""

    async def scenario(relay: WatchedRelay) -> None:
        client = await dial(relay)
        await relay.adopt(client)
        await fail(client)

    scenario.__name__ = fail.__name__
    return scenario


Scenario = Callable[[WatchedRelay], Awaitable[None]]

# While the sweeper checks sides, it refers to the pair that it checked last.
TIMEOUTS: dict[str, Any] = {"handshake_timeout": 10, "close_timeout": 10, "stall_timeout": 0}
SHORT: dict[str, dict[str, Any]] = {
    "stalls": {"stall_timeout": 0.6, "close_timeout": 0.3},
    "is_too_slow": {"handshake_timeout": 1},
    "slow": {"handshake_timeout": 0.5},
}
"""Timeouts of the scenarios that exceed one."""

ENDS: list[Scenario] = [
    closes,
    vanishes,
    resets,
    forges,
    stalls,
    waits,
    asks,
    is_refused,
    is_too_slow,
]
FAILURES = [
    fails(handshakes.plain_http),
    fails(handshakes.not_tls),
    fails(handshakes.old_version),
    fails(handshakes.other_cipher),
    fails(handshakes.distrust),
    fails(handshakes.alert),
    fails(handshakes.malformed),
    fails(handshakes.ended),
    fails(handshakes.reset),
    fails(handshakes.slow),
]


@pytest.mark.parametrize(
    "scenario",
    [
        *ENDS,
        *FAILURES,
        breaks_a_rule,
    ],
    ids=lambda scenario: scenario.__name__,
)
async def test_no_cycle(tmp_path: Path, time_limit: None, scenario: Scenario) -> None:
    """An ended connection leaves only counters."""
    timeouts = TIMEOUTS | SHORT.get(scenario.__name__, {})
    async with running_tls(tmp_path, max_waiting=2, **timeouts) as relay:
        with no_collector():
            await scenario(relay)
            await relay.disconnect_all()
            relay.events.clear()
            assert garbage() == []


def test_every_kind_of_failure_is_tried() -> None:
    """Each kind of failed handshake has a case."""
    assert len(FAILURES) == len(TlsFailure)
