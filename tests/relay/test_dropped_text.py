"""The first dropped text message of a pair is an event."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from relay import PairEnded, TextDropped
from tests.support.raw_client import BINARY, TEXT, encode
from tests.support.running_relay import running


@pytest.mark.parametrize("sender", ["a", "b"])
async def test_first_text_of_a_pair(sender: str, autojump_clock: trio.testing.MockClock) -> None:
    """The event follows soon, and further text messages cause none."""
    async with running() as relay:
        a, b = await relay.pair()
        source, sink = (a, b) if sender == "a" else (b, a)
        await source.send(encode(TEXT, b"text") + encode(BINARY, b"data"))
        assert await sink.message() == b"data"
        await trio.sleep(1.5)
        pair = relay.handle.hash_code("code")
        assert relay.events_of(TextDropped) == [TextDropped(pair, sender)]
        for client in (a, b):
            await client.send(encode(TEXT, b"text"))
        await trio.sleep(10)
        await relay.disconnect(a)
        assert len(relay.events_of(TextDropped)) == 1


async def test_text_of_a_waiting_side(autojump_clock: trio.testing.MockClock) -> None:
    """A side without a peer is reported, too."""
    async with running() as relay:
        a = await relay.join("code")
        await a.send(encode(TEXT, b"text"))
        await trio.sleep(1.5)
        assert [event.side for event in relay.events_of(TextDropped)] == ["a"]


async def test_text_of_a_short_pair(autojump_clock: trio.testing.MockClock) -> None:
    """A pair that ends at once has the event before its end."""
    async with running() as relay:
        a, b = await relay.pair()
        await b.send(encode(TEXT, b"text"))
        await relay.disconnect(b)
        await a.closed()
        await relay.wait_for_connections(0)
        dropped, ended = relay.events[-2:]
        assert isinstance(dropped, TextDropped)
        assert isinstance(ended, PairEnded)
        assert (dropped.pair, dropped.side) == (ended.pair, "b")


async def test_text_after_the_end(autojump_clock: trio.testing.MockClock) -> None:
    """Text in the closing handshake is no event: no event of a pair follows its end."""
    async with running() as relay:
        a, _ = await relay.pair()
        [pair] = relay.inside.pairs
        await relay.disconnect(a)
        await relay.wait_for_connections(0)
        pair.a.reframer.feed(encode(TEXT, b"text"))
        relay.inside.report_text(pair)
        assert pair.text_sender == "a"
        assert not relay.events_of(TextDropped)


async def test_no_text(autojump_clock: trio.testing.MockClock) -> None:
    """A pair that sends binary messages alone has no event."""
    async with running() as relay:
        a, b = await relay.pair()
        await a.send_message(b"data")
        await b.message()
        await trio.sleep(10)
        await relay.disconnect(a)
        assert not relay.events_of(TextDropped)
