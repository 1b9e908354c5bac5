"""Takeover and joining of a code in use, if a new code requires a token.

A client without the token may join a waiting side that showed it, and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from relay.events import PairEnded, TakeoverChecked
from relay.outcomes import Outcome
from relay.protocol.response import NO_AUTHORIZED_HOST, PAIR_IS_FULL, TOKEN_REQUIRED
from tests.support.auto_client import AutoClient
from tests.support.raw_client import PING, Client, encode_close
from tests.support.running_relay import WatchedRelay, exchange, running

HOST = "code&token=s3cret"
NEW_HOST = "code&token=other"
GUEST = "code"
HOST_MISSING = -401
"""Stands for the 401 response of a code that is in use, or was during the check."""
SILENCE = 6
"""Seconds of silence after which a waiting side is pinged for a client."""


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """Return a file with a token."""
    path = tmp_path / "token"
    path.write_text("s3cret")
    return path


@pytest.fixture
async def relay(token_file: Path) -> AsyncIterator[WatchedRelay]:
    """Run a relay with a token and takeover checks."""
    token = str(token_file)
    async with running(token_file=token, takeover_timeout=2.0, max_waiting=1) as relay:
        yield relay


BODIES = {
    TOKEN_REQUIRED.body: 401,
    NO_AUTHORIZED_HOST.body: HOST_MISSING,
    PAIR_IS_FULL.body: 409,
    "": 101,
}


async def status_of(relay: WatchedRelay, query: str) -> int:
    """Return the status for a client, which disconnects; or `HOST_MISSING`."""
    client = await relay.connect()
    response = await client.upgrade(f"/?pair={query}")
    status = BODIES[response.body.decode()]
    assert abs(status) == response.status
    await relay.disconnect(client)
    return status


def renew(relay: WatchedRelay, token_file: Path, token: str) -> None:
    """Replace the token."""
    token_file.write_text(token)
    assert relay.handle.reload_token()


async def test_guest_joins_a_host(
    relay: WatchedRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A guest joins a waiting host, also after a ping that the host answered."""
    host = AutoClient(await relay.join(HOST), nursery)
    await trio.sleep(SILENCE)
    guest = await relay.join(GUEST)
    await guest.send_message(b"hello")
    await trio.testing.wait_all_tasks_blocked()
    assert (host.pings, host.payload) == (1, b"hello")


async def test_host_joins_a_guest(
    relay: WatchedRelay, autojump_clock: MockClock, token_file: Path, nursery: trio.Nursery
) -> None:
    """A host joins any waiting side, and gives the pair the token in force."""
    a = await relay.join(HOST)
    renew(relay, token_file, "other")
    b = await relay.join(NEW_HOST)
    await exchange(a, b)
    assert await status_of(relay, GUEST) == HOST_MISSING  # the pair was dead, and is gone
    assert len(relay.events_of(TakeoverChecked)) == 1


@pytest.mark.parametrize("sides", [[HOST], [HOST, GUEST], [HOST, HOST]])
async def test_guest_takes_over_nothing(
    relay: WatchedRelay, autojump_clock: MockClock, sides: list[str]
) -> None:
    """A guest that finds dead sides at a host's code evicts them, but gets no place."""
    for side in sides:
        await relay.join(side)
    await trio.sleep(SILENCE)
    assert await status_of(relay, GUEST) == HOST_MISSING
    assert [event.outcome for event in relay.events_of(PairEnded)] == [Outcome.EVICTED]
    assert relay.table_sizes.pairs == 0
    assert await status_of(relay, GUEST) == 401


@pytest.mark.parametrize("sides", [[HOST], [HOST, GUEST]])
async def test_host_takes_over(
    relay: WatchedRelay, autojump_clock: MockClock, sides: list[str]
) -> None:
    """A host that finds dead sides takes their place, also at the limit of waiting sides."""
    for side in sides:
        await relay.join(side)
    await trio.sleep(SILENCE)
    host = await relay.join(HOST)
    assert (relay.table_sizes.pairs, relay.table_sizes.waiting) == (1, 1)
    await exchange(host, await relay.join(GUEST))


async def test_host_takes_over_where_no_more_may_wait(
    relay: WatchedRelay, autojump_clock: MockClock
) -> None:
    """A host that takes over a dead pair opens no code, and so keeps within the limit."""
    await relay.join(HOST)
    await relay.join(GUEST)
    await relay.join("other&token=s3cret")
    await relay.join(HOST)
    assert relay.table_sizes.waiting == 2


@pytest.mark.parametrize("sides", [[HOST], [HOST, GUEST]])
@pytest.mark.parametrize("new_client", [GUEST, HOST])
async def test_pair_ends_while_it_is_checked(
    relay: WatchedRelay,
    autojump_clock: MockClock,
    nursery: trio.Nursery,
    sides: list[str],
    new_client: str,
) -> None:
    """If the pair ends during the check, its code is free, and a guest may not open it."""
    clients = [await relay.join(side) for side in sides]
    await trio.sleep(SILENCE)
    statuses: list[int] = []

    async def join() -> None:
        statuses.append(await status_of(relay, new_client))

    async with trio.open_nursery() as tasks:
        tasks.start_soon(join)
        for client in clients:
            assert (await client.frame()).opcode == PING
        await clients[0].send(encode_close(1000))
    assert statuses == [HOST_MISSING if new_client == GUEST else 101]
    assert relay.events_of(TakeoverChecked) == []
    assert relay.events_of(PairEnded)[0].outcome is Outcome.CLOSED


async def test_live_pair_is_full(
    relay: WatchedRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A live pair refuses a third client with 409, with or without the token."""
    for side in (HOST, GUEST):
        AutoClient(await relay.join(side), nursery)
    assert [await status_of(relay, third) for third in (GUEST, HOST)] == [409, 409]
    assert [event.answered for event in relay.events_of(TakeoverChecked)] == [True, True]


async def silent(client: Client) -> None:
    """Assert that a client receives nothing for a while."""
    with trio.move_on_after(SILENCE):
        pytest.fail(f"it was sent {await client.frame()}")


async def test_old_token_is_none(
    relay: WatchedRelay, autojump_clock: MockClock, token_file: Path
) -> None:
    """Only hosts may join or evict a side whose token was replaced."""
    old = await relay.join(HOST)
    renew(relay, token_file, "other")
    await trio.sleep(SILENCE)
    assert [await status_of(relay, guest) for guest in (GUEST, HOST)] == [HOST_MISSING] * 2
    await silent(old)
    assert relay.table_sizes.waiting == 1
    assert await status_of(relay, NEW_HOST) == 101
    assert relay.events_of(PairEnded)[0].outcome is Outcome.EVICTED


async def test_old_pair_cannot_be_evicted(
    relay: WatchedRelay, autojump_clock: MockClock, token_file: Path
) -> None:
    """A pair without the token in force is full for guests, and is not pinged."""
    clients = [await relay.join(side) for side in (HOST, GUEST)]
    renew(relay, token_file, "other")
    assert [await status_of(relay, guest) for guest in (GUEST, HOST)] == [409, 409]
    for client in clients:
        await silent(client)
    assert await status_of(relay, NEW_HOST) == 101
    assert relay.events_of(PairEnded)[0].outcome is Outcome.EVICTED


async def test_same_token_again(
    relay: WatchedRelay, autojump_clock: MockClock, token_file: Path
) -> None:
    """A reload with the same token, as for a certificate, changes nothing."""
    host = await relay.join(HOST)
    renew(relay, token_file, "s3cret\n")
    await exchange(host, await relay.join(GUEST))


async def test_token_is_replaced_while_a_pair_is_checked(
    relay: WatchedRelay, autojump_clock: MockClock, token_file: Path
) -> None:
    """A client whose token is replaced during the check counts as a guest."""
    host = await relay.join(HOST)
    await trio.sleep(SILENCE)
    statuses: list[int] = []

    async def join() -> None:
        statuses.append(await status_of(relay, HOST))

    async with trio.open_nursery() as tasks:
        tasks.start_soon(join)
        assert (await host.frame()).opcode == PING
        renew(relay, token_file, "other")
    assert statuses == [HOST_MISSING]


async def test_former_guest_keeps_nothing(
    relay: WatchedRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A guest whose host has left cannot keep the code in any way."""
    await relay.join(HOST)
    await relay.join(GUEST)
    for status in (HOST_MISSING, 401, 401):
        assert await status_of(relay, GUEST) == status
        await trio.sleep(SILENCE)
    assert relay.table_sizes.pairs == 0
