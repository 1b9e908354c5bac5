"""Steps of the probe: small functions that return measured figures or raise Failure."""

from __future__ import annotations

import os
import statistics
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from .attempt import (
    Attempt,
    Plan,
    expect,
    expect_silence,
    measure,
    rate,
    transfer,
    until_failure,
)
from .client import run_client
from .hints import Failure

Figures = Mapping[str, float | str]
"""Values that a step returns, keyed by names such as ``min_ms``. The value of ``pair`` is the hash
of the pair code."""

ROUNDS: Final = 10
"""Number of round trips to measure, and number of pings to measure from each side."""

MEDIUM: Final = 64 * 1024
MEDIUM_COUNT: Final = 16

EARLY, LATER, TEXT, AFTER_TEXT, ECHO = b"early", b"later", "text", b"after text", b"echo"


async def check_health(attempt: Attempt) -> Figures:
    """Request /health from the host to which the sides of the pair will connect."""
    attempt.awaited.what = "answer from /health"
    health = await attempt.plan.check_health()
    if health.pairs is None:
        raise Failure(health.text)
    return {"pairs": health.pairs}


async def connect(attempt: Attempt, name: str) -> Figures:
    """Open side A, which then waits, or side B, which joins side A; ``name`` is A or B."""
    side = await attempt.nursery.start(run_client, name, attempt.plan.request, attempt.awaited)
    attempt.sides.append(side)
    return {"pair": side.pair} if side.pair else {}


async def send_early(attempt: Attempt) -> Figures:
    """Send a message from side A before side B is connected."""
    attempt.awaited.what = "space for a message"
    await attempt.sides[0].send(EARLY)
    return {}


async def receive_early(attempt: Attempt) -> Figures:
    """Check that side A's early message arrives, and that it arrives before a later message."""
    a, b = attempt.both
    attempt.awaited.what = "first message at side B"
    await a.send(LATER)
    first = await b.receive()
    if first == LATER:
        raise Failure("the early message of side A did not arrive", "early lost")
    expect(first, EARLY)
    expect(await b.receive(), LATER)
    return {}


async def drop_text(attempt: Attempt) -> Figures:
    """Check that the relay drops a text message, and forwards the binary message that follows."""
    a, b = attempt.both
    attempt.awaited.what = "message after the text"
    await a.send(TEXT)
    await a.send(AFTER_TEXT)
    expect(await b.receive(), AFTER_TEXT)
    return {}


async def round_trips(attempt: Attempt) -> Figures:
    """Measure round trips of small messages from side A to side B and back."""
    times = [await measure(round_trip(attempt)) for _ in range(ROUNDS)]
    return {"min_ms": min(times) * 1000, "median_ms": statistics.median(times) * 1000}


async def round_trip(attempt: Attempt) -> None:
    """Send one small message from side A to side B, and another one back."""
    a, b = attempt.both
    attempt.awaited.what = "round trip"
    await a.send(ECHO)
    expect(await b.receive(), ECHO)
    await b.send(ECHO)
    expect(await a.receive(), ECHO)


async def pings(attempt: Attempt) -> Figures:
    """Measure the time between a ping to the relay and its pong, from both sides."""
    attempt.awaited.what = "pong"
    return {
        f"{side.name.lower()}_ms": 1000
        * statistics.median([await measure(side.ping()) for _ in range(ROUNDS)])
        for side in attempt.both
    }


async def large(attempt: Attempt, *, to_a: bool = False) -> Figures:
    """Send a large message to side B, or to side A, and check that it arrives unchanged."""
    source, sink = reversed(attempt.both) if to_a else attempt.both
    attempt.awaited.what = "large message"
    # The data is random, so that no proxy can compress it.
    message = os.urandom(attempt.plan.size)
    seconds = await measure(transfer(source, sink, message, 1))
    return {"bytes": len(message), "mb_per_s": rate(len(message), seconds)}


async def medium_both_ways(attempt: Attempt) -> Figures:
    """Send messages of 64 KiB in both directions at once, and check that they arrive unchanged."""
    a, b = attempt.both
    attempt.awaited.what = "message of 64 KiB"
    message = os.urandom(MEDIUM)
    both_ways = (
        partial(transfer, a, b, message, MEDIUM_COUNT),
        partial(transfer, b, a, message, MEDIUM_COUNT),
    )
    seconds = await measure(until_failure(*both_ways))
    return {"mb_per_s": rate(2 * MEDIUM * MEDIUM_COUNT, seconds)}


async def stay_idle(attempt: Attempt) -> Figures:
    """Send nothing for the idle time, and check that the pair still works."""
    attempt.awaited.what = "end of the silence"
    with trio.move_on_after(attempt.plan.idle):
        await until_failure(*(partial(expect_silence, side) for side in attempt.both))
    return {"round_trip_ms": await measure(round_trip(attempt)) * 1000}


async def close(attempt: Attempt) -> Figures:
    """Close side A, and check that side B is closed with 1000 ``peer disconnected``."""
    a, b = attempt.both
    attempt.awaited.what = "close frame"
    await a.close()
    try:
        await expect_silence(b)
    except Failure as failure:
        if failure.causes[0] != "closed 1000 peer disconnected":
            raise
    return {}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the probe."""

    name: str
    phase: str
    """Phase to which the step belongs. Some hints apply to one phase only."""
    run: Callable[[Attempt], Awaitable[Figures]]
    vital: bool = True
    """True if a failure of the step ends the probe and counts as a failure of the probe."""


HEALTH: Final = Step("health", "health", check_health, vital=False)
JOIN: Final = (
    Step("connect side A", "connect", partial(connect, name="A")),
    Step("send before B is there", "early", send_early),
    Step("connect side B", "connect", partial(connect, name="B")),
    Step("early message first", "early", receive_early),
    Step("text is dropped", "text", drop_text),
    Step("round trips", "small", round_trips),
)
PINGS: Final = Step("pings", "ping", pings)
LARGE: Final = (
    Step("large message A to B", "large", large),
    Step("large message B to A", "large", partial(large, to_a=True)),
)
MEDIUM_BOTH_WAYS: Final = Step("64 KiB both ways", "large", medium_both_ways)
IDLE: Final = Step("idle", "idle", stay_idle)
CLOSE: Final = Step("close", "close", close)


def steps_for(plan: Plan) -> tuple[Step, ...]:
    """Return the steps of a plan in order."""
    idle = (IDLE,) if plan.idle else ()
    if plan.quick:
        return (*JOIN, *idle, CLOSE)
    sizes = (*(LARGE if plan.size else ()), MEDIUM_BOTH_WAYS)
    return (HEALTH, *JOIN, PINGS, *sizes, *idle, CLOSE)
