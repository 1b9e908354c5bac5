"""Events at the end of a pair: its outcome, its duration and its traffic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
import trio.testing

from relay import Outcome, PairEnded, PairJoined
from tests.support.raw_client import BINARY, CONTINUATION, TEXT, Client, encode, encode_close
from tests.support.running_relay import WatchedRelay, exchange, running

Deed = Callable[[WatchedRelay, Client, Client], Awaitable[None]]


class Breakable(trio.abc.Stream):
    """Relay's end of a stream, which fails in place of its end."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self._stream.receive_some(max_bytes))
        if not data:
            raise trio.BrokenResourceError
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        await self._stream.aclose()


async def close(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Send a close frame from side A."""
    await a.send(encode_close(1000))


async def leave(relay: WatchedRelay, a: Client, b: Client) -> None:
    """End the stream of side B."""
    await trio.aclose_forcefully(b.stream)


async def violate(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Violate a rule as side B."""
    await b.send(encode(0x3))


async def do_nothing(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Let time pass."""


async def send_much(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Send more from side A than side B, which does not read, accepts."""
    await a.send_message(bytes(1_000_000))


async def send_over_limit(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Send more from side A than the pair may forward."""
    await a.send_message(bytes(10_000))


async def connect_third(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Connect a third client to the code."""
    await relay.join("code")


async def stop(relay: WatchedRelay, a: Client, b: Client) -> None:
    """Stop the relay."""
    await relay.handle.stop()


@dataclass(frozen=True)
class Case:
    """One way in which a pair ends after a message in each direction."""

    outcome: Outcome
    deed: Deed
    settings: dict[str, Any] = field(default_factory=dict)
    lasted: float = 10.0
    broken: bool = False
    lockstep: bool = False


KEEPALIVE: dict[str, Any] = {"ping_interval": 20.0, "ping_timeout": 20.0}
CASES = [
    Case(Outcome.CLOSED, close),
    Case(Outcome.ENDED, leave),
    Case(Outcome.BROKEN, leave, broken=True),
    Case(Outcome.VIOLATED, violate),
    Case(Outcome.UNRESPONSIVE, do_nothing, KEEPALIVE, 40.0),
    Case(Outcome.STALLED, send_much, {"stall_timeout": 60.0}, 70.0, lockstep=True),
    Case(Outcome.EVICTED, connect_third, {"takeover_timeout": 2.0}, 12.0),
    Case(Outcome.OVER_TIME, do_nothing, {"max_pair_seconds": 33.0}, 33.0),
    Case(Outcome.OVER_BYTES, send_over_limit, {"max_pair_bytes": 10_000}),
    Case(Outcome.STOPPED, stop),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.outcome.label)
async def test_pair(case: Case, autojump_clock: trio.testing.MockClock) -> None:
    """Each pair has one event at its end, with outcome, times, and traffic by direction."""
    async with running(**case.settings) as relay:
        a = await relay.join("code")
        await trio.sleep(3)
        b = await join_as_b(relay, case)
        joined = trio.current_time()
        await a.send(encode(TEXT, b"text"))
        await a.send(encode(BINARY, b"x" * 60, fin=False) + encode(CONTINUATION, b"x" * 40))
        assert await b.message() == b"x" * 100
        for _ in range(2):
            await b.send(encode(TEXT, b"text") + encode(BINARY, b"x" * 200))
            assert await a.message() == b"x" * 200
        await trio.sleep(10 - (trio.current_time() - joined))
        assert not relay.events_of(PairEnded)
        await case.deed(relay, a, b)
        with trio.fail_after(100):
            while not relay.events_of(PairEnded):
                await trio.sleep(0.1)
        joins, ended = relay.events_of(PairJoined), relay.events_of(PairEnded)[0]
        assert [ended.pair] == [event.pair for event in joins]
        assert joins[0].wait_time == ended.wait_time == pytest.approx(3, abs=0.1)
        assert ended.outcome is case.outcome
        assert ended.joined
        assert ended.duration == pytest.approx(case.lasted, rel=0.1)
        assert ended.text_messages_dropped == (1, 2)
        sent, answered = ended.bytes
        # Frames have a header of two or four bytes; what a deed adds is about A alone.
        assert sent >= 2 + 100
        assert answered == 2 * (200 + 4)
        if case.deed not in (send_much, send_over_limit):
            assert sent == 2 + 100
            assert ended.messages == (1, 2)
        stalled_a, stalled_b = ended.blocked_time
        assert stalled_b == pytest.approx(0, abs=0.01)
        assert stalled_a == pytest.approx(60 * (case.outcome is Outcome.STALLED), rel=0.1, abs=0.01)


async def join_as_b(relay: WatchedRelay, case: Case) -> Client:
    """Return side B, over the stream of the case."""
    if case.broken:
        near, far = trio.testing.memory_stream_pair()
        await relay.listener.connect(lambda: (near, Breakable(far)))
        b = Client(near)
        assert (await b.upgrade("/?pair=code")).status == 101
        return b
    return await relay.join("code", lockstep=case.lockstep)


ALONE = [
    Case(Outcome.EXPIRED, do_nothing, {"pair_ttl": 60.0, "sweep_interval": 10.0}, 70.0),
    Case(Outcome.CLOSED, close),
    Case(Outcome.STOPPED, stop),
    Case(Outcome.UNRESPONSIVE, do_nothing, KEEPALIVE, 40.0),
]


@pytest.mark.parametrize("case", ALONE, ids=lambda case: case.outcome.label)
async def test_waiting_side(case: Case, autojump_clock: trio.testing.MockClock) -> None:
    """A side that never joined a pair has the same event, with a duration of 0."""
    async with running(**case.settings) as relay:
        a = await relay.join("code")
        await trio.sleep(10)
        await case.deed(relay, a, a)
        with trio.fail_after(100):
            while not relay.events_of(PairEnded):
                await trio.sleep(0.1)
        (ended,) = relay.events_of(PairEnded)
        assert (ended.outcome, ended.joined, ended.duration) == (case.outcome, False, 0.0)
        assert ended.wait_time == pytest.approx(case.lasted, rel=0.15)
        assert (ended.bytes, ended.messages, ended.text_messages_dropped) == ((0, 0),) * 3
        assert not relay.events_of(PairJoined)


def test_every_outcome() -> None:
    """Each outcome has a test."""
    assert {case.outcome for case in (*CASES, *ALONE)} == set(Outcome)


async def test_side_that_sent_too_much_while_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A side with too much early data is pinged again once its peer has joined."""
    async with running(**KEEPALIVE) as relay:
        a = await relay.join("code")
        await a.send_message(bytes(200_000))
        await trio.sleep(100)
        assert relay.table_sizes.waiting == 1
        b = await relay.join("code")
        assert await b.message() == bytes(200_000)
        for _ in range(8):
            await b.send_message(b"I am here")
            await trio.sleep(5)
        (ended,) = relay.events_of(PairEnded)
        assert ended.outcome is Outcome.UNRESPONSIVE
        assert ended.duration == pytest.approx(40, rel=0.15)


async def test_code_is_used_again(autojump_clock: trio.testing.MockClock) -> None:
    """Two pairs with one code have one hash, and other codes and other relays have others."""
    hashes: list[set[str]] = []
    for _ in range(2):
        async with running() as relay:
            for code in ("code", "code", "other"):
                a, b = await relay.pair(code)
                await exchange(a, b)
                await relay.disconnect(a)
                await b.closed()
                await relay.wait_for_connections(0)
            names = [event.pair for event in relay.events_of(PairEnded)]
            assert names[0] == names[1] != names[2]
            hashes.append(set(names))
    assert not hashes[0] & hashes[1]
