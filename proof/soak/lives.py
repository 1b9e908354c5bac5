"""Lives of a pair: each opens connections to a relay, uses them, and checks how they end.

A life raises `Unexpected`, or an exception of trio, if the relay behaves in another way than
docs/protocol.md describes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Final

import trio

from tests.support.raw_client import BINARY, encode

from .members import Member, Place, cross, expect, new_code, random_payload

Life = Callable[[Place, Random], Awaitable[None]]

PEER_LEFT: Final = (1000, "peer disconnected")
PEER_FAILED: Final = (1011, "peer disconnected")
SHORT: Final = bytes(100)
ACKNOWLEDGED: Final = 1.0
"""Seconds after which the kernel of a client has acknowledged its 101 response. Before that, the
relay does not expect an answer to a ping."""
IDLE_SECONDS: Final = 25.0
"""Longer than the silence after which the relay pings a side."""


async def leave(a: Member, b: Member) -> None:
    """Close a pair from side A."""
    await a.leave()
    await b.expect_close(*PEER_LEFT)


async def talk(place: Place, random: Random) -> None:
    """Exchange messages of all sizes with pauses, and measure the latency of short ones."""
    async with place.pair() as (a, b):
        for _ in range(random.randint(5, 25)):
            await place.bounce(a, b, SHORT)
            await cross(*random.choice(((a, b), (b, a))), random_payload(random))
            await trio.sleep(random.uniform(0, 1))
        await leave(*random.choice(((a, b), (b, a))))


async def stall(place: Place, random: Random) -> None:
    """Send several MiB to a side that reads nothing for some seconds."""
    block = random.randbytes(random.choice((1000, 65000, 70000, 300000)))
    frames = encode(BINARY, block)
    blocks = 3 * 2**20 // len(block)
    async with place.pair() as (a, b), trio.open_nursery() as nursery:

        async def send() -> None:
            for _ in range(blocks):
                await a.send(frames)
                await trio.lowlevel.checkpoint()

        nursery.start_soon(send)
        await trio.sleep(random.uniform(0.5, 3))
        for _ in range(blocks):
            expect("message", await b.message() == block, expected=True)
        await leave(b, a)


async def reset(place: Place, random: Random) -> None:
    """Reset the connection of one side."""
    async with place.pair() as (a, b):
        await cross(a, b, random_payload(random))
        await b.reset()
        await a.expect_close(*PEER_FAILED)


async def end_stream(place: Place, random: Random) -> None:
    """End the stream of one side without a close frame."""
    async with place.pair() as (a, b):
        await cross(a, b, random_payload(random))
        await b.stream.aclose()
        await a.expect_close(*PEER_LEFT)


async def send_early(place: Place, random: Random) -> None:
    """Send messages before the peer joins."""
    code, early = new_code(), [random_payload(random) for _ in range(3)]
    async with place.joined(code) as a:
        for payload in early:
            await a.send_message(payload)
        await trio.sleep(random.uniform(0, 3))
        async with place.joined(code) as b:
            for payload in early:
                expect("early message", await b.message() == payload, expected=True)
            await leave(a, b)


async def wait_alone(place: Place, random: Random) -> None:
    """Wait for a peer, then leave or disappear."""
    async with place.joined(new_code()) as a:
        await trio.sleep(random.uniform(0, 3))
        if random.choice((True, False)):
            await a.leave(1001, "nobody")


@asynccontextmanager
async def reading(a: Member, b: Member) -> AsyncIterator[None]:
    """Answer pings at both sides during a block, and then exchange a message and close."""
    async with trio.open_nursery() as nursery:
        for member in (a, b):
            nursery.start_soon(receive, member, SHORT)
        yield
        await a.send_message(SHORT)
        await b.send_message(SHORT)
    await leave(a, b)


async def receive(member: Member, payload: bytes) -> None:
    """Wait for a message."""
    expect("message", await member.message(), payload)


async def idle(place: Place, random: Random) -> None:
    """Keep a pair silent until the relay pings both sides, then use it."""
    async with place.pair() as (a, b), reading(a, b):
        await trio.sleep(IDLE_SECONDS)


async def come_third(place: Place, random: Random) -> None:
    """Request a code that is in use by two live sides."""
    code = new_code()
    async with (
        place.joined(code) as a,
        place.joined(code) as b,
        reading(a, b),
        place.connected() as third,
    ):
        response = await third.upgrade(f"/?pair={code}")
        expect("response", response.status, 409)


async def take_over(place: Place, random: Random) -> None:
    """Replace a side that answers nothing."""
    code = new_code()
    async with place.joined(code) as a, place.joined(code) as silent:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(a.expect_close, *PEER_FAILED)
            await trio.sleep(ACKNOWLEDGED)
            async with place.joined(code) as again, place.joined(code) as peer:
                await cross(peer, again, random_payload(random))
                await leave(again, peer)
        await silent.expect_close(1011, "takeover timeout")


async def violate(place: Place, random: Random) -> None:
    """Send a frame that is not masked."""
    async with place.pair() as (a, b):
        await cross(a, b, random_payload(random))
        await a.send(encode(BINARY, SHORT, mask=False))
        expect("close frame", await a.close_frame(), (1002, "frame is not masked"))
        await b.expect_close(*PEER_FAILED)


async def ask(place: Place, random: Random) -> None:
    """Send requests that open no pair."""
    for target, status in (("/health", 200), ("/nothing", 404), ("/?pair=", 400)):
        async with place.connected() as member:
            request = member.upgrade if "?" in target else member.get
            expect("response", (await request(target)).status, status)


LIVES: Final[dict[Life, int]] = {
    talk: 12,
    stall: 2,
    reset: 3,
    end_stream: 3,
    send_early: 3,
    wait_alone: 3,
    idle: 1,
    come_third: 2,
    take_over: 2,
    violate: 2,
    ask: 2,
}
"""All lives, with their weights in the random choice."""
