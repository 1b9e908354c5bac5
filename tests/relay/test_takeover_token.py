"""Who may take a place at a code that is in use, where it takes a token to open one.

A client without the token may join a waiting side that showed it, and do nothing else.
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
from tests.support.auto_client import Lively
from tests.support.raw_client import PING, Client, encode_close
from tests.support.running_relay import WatchedRelay, exchange, running

HOST = "code&token=s3cret"
NEW_HOST = "code&token=other"
GUEST = "code"
HOST_MISSING = -401
"""Stands for the 401 of a code that is, or was until now, in use."""
SILENCE = 6
"""Seconds after which a waiting side is pinged for a newcomer."""


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """Return a file with a token."""
    path = tmp_path / "token"
    path.write_text("s3cret")
    return path


@pytest.fixture
async def relay(token_file: Path) -> AsyncIterator[WatchedRelay]:
    """Run a relay with a token, where newcomers have silent sides pinged."""
    token = str(token_file)
    async with running(token_file=token, takeover_timeout=2.0, max_waiting=1) as relay:
        yield relay


BODIES = {
    TOKEN_REQUIRED.body: 401,
    NO_AUTHORIZED_HOST.body: HOST_MISSING,
    PAIR_IS_FULL.body: 409,
    "": 101,
}


async def ask(relay: WatchedRelay, query: str) -> int:
    """Return the status that a newcomer gets, who leaves again; or `HOST_MISSING`."""
    client = await relay.connect()
    response = await client.upgrade(f"/?pair={query}")
    told = BODIES[response.body.decode()]
    assert abs(told) == response.status
    await relay.gone(client)
    return told


def renew(relay: WatchedRelay, token_file: Path, token: str) -> None:
    """Replace the token."""
    token_file.write_text(token)
    assert relay.handle.reload_token()


async def test_guest_joins_a_host(
    relay: WatchedRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A guest joins a host that waits, also after a ping that the host answered."""
    host = Lively(await relay.join(HOST), nursery)
    await trio.sleep(SILENCE)
    guest = await relay.join(GUEST)
    await guest.send_message(b"hello")
    await trio.testing.wait_all_tasks_blocked()
    assert (host.pings, host.payload) == (1, b"hello")


async def test_host_joins_a_guest(
    relay: WatchedRelay, autojump_clock: MockClock, token_file: Path, nursery: trio.Nursery
) -> None:
    """A host joins any side that waits, and gives the pair the token in force."""
    a = await relay.join(HOST)
    renew(relay, token_file, "other")
    b = await relay.join(NEW_HOST)
    await exchange(a, b)
    assert await ask(relay, GUEST) == HOST_MISSING  # the pair was dead, and is gone
    assert len(relay.told(TakeoverChecked)) == 1


@pytest.mark.parametrize("sides", [[HOST], [HOST, GUEST], [HOST, HOST]])
async def test_guest_takes_over_nothing(
    relay: WatchedRelay, autojump_clock: MockClock, sides: list[str]
) -> None:
    """A guest that finds dead sides at a host's code has them ended, but not their place."""
    for side in sides:
        await relay.join(side)
    await trio.sleep(SILENCE)
    assert await ask(relay, GUEST) == HOST_MISSING
    assert [event.outcome for event in relay.told(PairEnded)] == [Outcome.EVICTED]
    assert relay.kept.pairs == 0
    assert await ask(relay, GUEST) == 401


@pytest.mark.parametrize("sides", [[HOST], [HOST, GUEST]])
async def test_host_takes_over(
    relay: WatchedRelay, autojump_clock: MockClock, sides: list[str]
) -> None:
    """A host that finds dead sides has their place, also where no other code may wait."""
    for side in sides:
        await relay.join(side)
    await trio.sleep(SILENCE)
    host = await relay.join(HOST)
    assert (relay.kept.pairs, relay.kept.waiting) == (1, 1)
    await exchange(host, await relay.join(GUEST))


async def test_host_takes_over_where_no_more_may_wait(
    relay: WatchedRelay, autojump_clock: MockClock
) -> None:
    """A host that takes over a dead pair opens no code, and so is within the limit of those."""
    await relay.join(HOST)
    await relay.join(GUEST)
    await relay.join("other&token=s3cret")
    await relay.join(HOST)
    assert relay.kept.waiting == 2


@pytest.mark.parametrize("sides", [[HOST], [HOST, GUEST]])
@pytest.mark.parametrize("newcomer", [GUEST, HOST])
async def test_pair_ends_while_it_is_checked(
    relay: WatchedRelay,
    autojump_clock: MockClock,
    nursery: trio.Nursery,
    sides: list[str],
    newcomer: str,
) -> None:
    """If the pair ends by itself meanwhile, its code is free, which a guest may not open."""
    clients = [await relay.join(side) for side in sides]
    await trio.sleep(SILENCE)
    statuses: list[int] = []

    async def come() -> None:
        statuses.append(await ask(relay, newcomer))

    async with trio.open_nursery() as tasks:
        tasks.start_soon(come)
        for client in clients:
            assert (await client.frame()).opcode == PING
        await clients[0].send(encode_close(1000))
    assert statuses == [HOST_MISSING if newcomer == GUEST else 101]
    assert relay.told(TakeoverChecked) == []
    assert relay.told(PairEnded)[0].outcome is Outcome.CLOSED


async def test_live_pair_is_full(
    relay: WatchedRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A pair that is joined and alive refuses a third one with 409, whatever it shows."""
    for side in (HOST, GUEST):
        Lively(await relay.join(side), nursery)
    assert [await ask(relay, third) for third in (GUEST, HOST)] == [409, 409]
    assert [event.answered for event in relay.told(TakeoverChecked)] == [True, True]


async def silent(client: Client) -> None:
    """Assert that a client is sent nothing for a while."""
    with trio.move_on_after(SILENCE):
        pytest.fail(f"it was sent {await client.frame()}")


async def test_old_token_is_none(
    relay: WatchedRelay, autojump_clock: MockClock, token_file: Path
) -> None:
    """A side that showed a token which was replaced may be joined, or evicted, by hosts alone."""
    old = await relay.join(HOST)
    renew(relay, token_file, "other")
    await trio.sleep(SILENCE)
    assert [await ask(relay, guest) for guest in (GUEST, HOST)] == [HOST_MISSING] * 2
    await silent(old)
    assert relay.kept.waiting == 1
    assert await ask(relay, NEW_HOST) == 101
    assert relay.told(PairEnded)[0].outcome is Outcome.EVICTED


async def test_old_pair_cannot_be_evicted(
    relay: WatchedRelay, autojump_clock: MockClock, token_file: Path
) -> None:
    """A pair of which no side showed the token in force is full to guests, and not pinged."""
    clients = [await relay.join(side) for side in (HOST, GUEST)]
    renew(relay, token_file, "other")
    assert [await ask(relay, guest) for guest in (GUEST, HOST)] == [409, 409]
    for client in clients:
        await silent(client)
    assert await ask(relay, NEW_HOST) == 101
    assert relay.told(PairEnded)[0].outcome is Outcome.EVICTED


async def test_same_token_again(
    relay: WatchedRelay, autojump_clock: MockClock, token_file: Path
) -> None:
    """A reload that finds the same token, as for a certificate, changes nothing."""
    host = await relay.join(HOST)
    renew(relay, token_file, "s3cret\n")
    await exchange(host, await relay.join(GUEST))


async def test_token_is_replaced_while_a_pair_is_checked(
    relay: WatchedRelay, autojump_clock: MockClock, token_file: Path
) -> None:
    """A newcomer that showed a token which is replaced meanwhile counts as a guest."""
    host = await relay.join(HOST)
    await trio.sleep(SILENCE)
    statuses: list[int] = []

    async def come() -> None:
        statuses.append(await ask(relay, HOST))

    async with trio.open_nursery() as tasks:
        tasks.start_soon(come)
        assert (await host.frame()).opcode == PING
        renew(relay, token_file, "other")
    assert statuses == [HOST_MISSING]


async def test_former_guest_keeps_nothing(
    relay: WatchedRelay, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A guest whose host is gone cannot go on with the code, however it tries."""
    await relay.join(HOST)
    await relay.join(GUEST)
    for told in (HOST_MISSING, 401, 401):
        assert await ask(relay, GUEST) == told
        await trio.sleep(SILENCE)
    assert relay.kept.pairs == 0
