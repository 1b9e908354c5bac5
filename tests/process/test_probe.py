"""The probe with a healthy relay and faulty proxies between them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
import trio.testing

from relay import RelaySettings
from relay.cli.health import Health
from relay.cli.probe.client import Awaited
from relay.cli.probe.runner import Result
from tests.support.probe_proxies import (
    CountingStream,
    Impostor,
    Message,
    Proxy,
    into,
    plan_for,
    probe,
)
from tests.support.relay_fixtures import MemoryRelay, TcpRelay

ALL = [
    "health",
    "connect side A",
    "send before B is there",
    "connect side B",
    "early message first",
    "text is dropped",
    "round trips",
    "pings",
    "large message A to B",
    "large message B to A",
    "64 KiB both ways",
    "idle",
    "close",
]

CUT = "was cut, without a close frame"


def names(results: list[Result]) -> list[str]:
    """Return the names of the steps that ran."""
    return [result.name for result in results]


async def test_all_is_well(
    memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
) -> None:
    """With a healthy relay every step succeeds, also after a long silence."""
    results, last = await probe(plan_for(into(memory_relay), idle=600, size=2**20))
    assert names(results) == ALL
    assert all(result.ok for result in results), results
    assert results[0].figures == {"pairs": 0}
    pair = {"pair": memory_relay.handle.hash_code("code")}
    assert results[1].figures == results[3].figures == pair
    assert set(results[6].figures) == {"min_ms", "median_ms"}
    assert set(results[7].figures) == {"a_ms", "b_ms"}
    assert results[8].figures["bytes"] == 2**20
    assert float(results[8].figures["mb_per_s"]) > 0
    assert set(results[10].figures) == {"mb_per_s"}
    assert results[11].seconds == pytest.approx(600, abs=1)
    assert last.error == ""
    # Each side sends a large message, and 16 messages of 64 KiB.
    assert min(memory_relay.handle.statistics().bytes) > 2 * 2**20


async def test_optional_steps(memory_relay: MemoryRelay) -> None:
    """Without a silence and a size these steps are left out."""
    results, last = await probe(plan_for(into(memory_relay)))
    assert names(results) == [*ALL[:8], "64 KiB both ways", "close"]
    assert last.ok


async def test_quick(memory_relay: MemoryRelay) -> None:
    """A quick probe sends and receives less than 2 KB, headers included."""
    streams: list[CountingStream] = []

    async def open_stream(awaited: Awaited) -> trio.abc.Stream:
        streams.append(CountingStream(await memory_relay.open_stream()))
        return streams[-1]

    results, last = await probe(replace(plan_for(open_stream, size=2**20), quick=True))
    assert names(results) == [*ALL[1:7], "close"]
    assert last.ok
    assert len(streams) == 2
    assert 0 < sum(stream.count for stream in streams) < 2000


async def test_real_sockets(tcp_relay: TcpRelay) -> None:
    """The steps succeed over TCP."""

    async def open_stream(awaited: Awaited) -> trio.abc.Stream:
        return await tcp_relay.open_stream()

    _, last = await probe(plan_for(open_stream, size=2**20))
    assert (last.name, last.ok) == ("close", True)


async def test_health_does_not_count(memory_relay: MemoryRelay) -> None:
    """A failed health request is reported, and does not fail the probe."""

    async def ill() -> Health:
        return Health(False, "HTTP 404 somewhere")

    results, last = await probe(plan_for(into(memory_relay), check_health=ill))
    assert (results[0].ok, results[0].error) == (None, "HTTP 404 somewhere")
    assert last.ok


async def test_code_in_use(memory_relay: MemoryRelay) -> None:
    """The reason of a refusal by the relay is reported."""
    await memory_relay.pair("code")
    results, last = await probe(plan_for(into(memory_relay)))
    assert names(results) == ALL[:2]
    refused = "HTTP 409 Conflict in place of 101, from the relay (pair is full)"
    pair = memory_relay.handle.hash_code("code")
    assert (last.ok, last.error) == (False, f"{refused}, pair {pair}")
    assert last.answered_by == "relay"
    assert "share this code" in last.hint


async def test_unforeseen() -> None:
    """An unexpected error is the failure of its step, in one line."""

    async def open_stream(awaited: Awaited) -> trio.abc.Stream:
        raise RuntimeError("two\nlines")

    _, last = await probe(plan_for(open_stream))
    assert (last.ok, last.error, last.hint) == (False, "RuntimeError: two lines", "")


async def test_two_relays(
    nursery: trio.Nursery, memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
) -> None:
    """Sides at different relays are recognized."""
    relays = iter((into(memory_relay), Impostor(nursery).open_stream))

    async def open_stream(awaited: Awaited) -> trio.abc.Stream:
        return await next(relays)(awaited)

    results, last = await probe(plan_for(open_stream))
    assert names(results) == ALL[:5]
    assert last.error == "no first message at side B within 30 s"
    assert "pair parameter" in last.hint


@pytest.mark.parametrize(
    ("message", "becomes", "step", "expected"),
    [
        (b"early", [], "early message first", ("did not arrive", "holds what side A")),
        ("text", ["text"], "text is dropped", ("a text message arrived", "drops text")),
        (
            b"echo",
            [b"ECHO"],
            "round trips",
            ("differs from the message that was sent", "changes messages"),
        ),
    ],
)
async def test_impostor(
    nursery: trio.Nursery,
    message: Message,
    becomes: list[Message],
    step: str,
    expected: tuple[str, str],
) -> None:
    """A server that joins two sides but is no relay is recognized."""

    def edit(sent: Message) -> list[Message]:
        if sent == message:
            return becomes
        return [] if isinstance(sent, str) else [sent]

    _, last = await probe(plan_for(Impostor(nursery, edit).open_stream))
    assert (last.name, last.ok) == (step, False)
    assert expected[0] in last.error
    assert expected[1] in last.hint


@pytest.mark.parametrize("number", [1, 2])
async def test_corrupt_large_message(nursery: trio.Nursery, number: int) -> None:
    """A change of a large message is noticed in either direction."""
    large: list[Message] = []

    def edit(sent: Message) -> list[Message]:
        if len(sent) == 5000:
            large.append(sent)
            return [bytes(5000)] if len(large) == number else [sent]
        return [] if isinstance(sent, str) else [sent]

    _, last = await probe(plan_for(Impostor(nursery, edit).open_stream, size=5000))
    assert last.name == ("large message A to B", "large message B to A")[number - 1]
    assert "differs from the message that was sent" in last.error


async def test_wrong_farewell(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """Side B must be closed with the code and reason of the relay."""
    impostor = Impostor(nursery, lambda sent: [] if sent == "text" else [sent])
    impostor.close_for_peer = (1011, "bye\x1b[2J")
    _, last = await probe(plan_for(impostor.open_stream))
    assert (last.name, last.ok) == ("close", False)
    assert last.error == "side B was closed with 1011 bye?[2J"
    assert "did not see side A close" in last.hint


async def test_chatter(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    """A message that no side sent ends the silence."""
    impostor = Impostor(nursery, lambda sent: [] if sent == "text" else [sent])

    async def chatter() -> None:
        await trio.sleep(10)
        await impostor.sides[0].send_message(b"hello?")

    nursery.start_soon(chatter)
    _, last = await probe(plan_for(impostor.open_stream, idle=60))
    assert (last.name, last.error) == ("idle", "side A received a message that no side sent")


async def test_read_timeout(
    nursery: trio.Nursery, memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
) -> None:
    """A proxy that cuts silent connections is recognized, with the duration of the silence."""
    proxy = Proxy(nursery, into(memory_relay), silence=15)
    _, last = await probe(plan_for(proxy.open_stream, idle=600))
    assert (last.name, last.ok) == ("idle", False)
    assert CUT in last.error
    assert "read timeout" in last.hint
    assert "15 s" in last.hint
    assert last.seconds == pytest.approx(15, abs=1)


async def test_forgetful_network(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A silent connection that loses data afterwards is recognized."""
    impostor = Impostor(nursery, lambda sent: [] if sent == "text" else [sent])
    proxy = Proxy(nursery, impostor.open_stream, silence=15, hole=True)
    _, last = await probe(plan_for(proxy.open_stream, idle=19))
    assert last.error == "no round trip within 30 s"
    assert "NAT" in last.hint
    nursery.cancel_scope.cancel()


async def test_traffic_limit(
    nursery: trio.Nursery, memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
) -> None:
    """A limit of a proxy for bytes is distinguished from a limit of the relay."""
    proxy = Proxy(nursery, into(memory_relay), limit=2**20)
    _, last = await probe(plan_for(proxy.open_stream, size=2**22))
    assert (last.name, last.ok) == ("large message A to B", False)
    assert CUT in last.error
    assert "a proxy's limit" in last.hint


class TestSmallRelay:
    """Relay with a low message limit."""

    @pytest.fixture
    def settings(self) -> RelaySettings:
        """Return the settings of the relay."""
        return RelaySettings(max_message_size=2**20)

    async def test_message_limit(self, memory_relay: MemoryRelay) -> None:
        """The message limit is reported as the cause, whichever side notices first."""
        _, last = await probe(plan_for(into(memory_relay), size=2**20 + 1))
        assert last.error == "side A was closed with 1009 message too big"
        assert "max_message_size" in last.hint


def test_nothing_secret_is_shown() -> None:
    """No representation of a plan has the code or the token."""

    async def open_stream(awaited: Awaited) -> trio.abc.Stream:
        raise NotImplementedError

    assert "canary" not in repr(plan_for(open_stream, code="canary"))
