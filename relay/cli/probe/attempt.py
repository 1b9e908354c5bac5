"""A probe under way: its plan, its two sides, and what its steps are made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import ParamSpec

import trio

from ..health_check import Health
from .client import ConnectOptions, ProbeClient
from .dial import Awaited
from .hints import Failure

__all__ = [
    "Attempt",
    "Crossing",
    "Plan",
    "cross",
    "expect",
    "expect_silence",
    "measure",
    "rate",
    "until_failure",
]

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be tried; times in seconds, sizes in bytes."""

    request: ConnectOptions
    look: Callable[[], Awaitable[Health]]
    """Asks for the health of the relay."""
    idle: float
    """How long to keep silent; 0 leaves it out."""
    size: int
    """How large a large message is; 0 leaves them out."""
    timeout: float
    """How long a step may take, without the time it idles."""


@dataclass(slots=True)
class Attempt:
    """A probe under way: its two sides, as far as they are there, and what it waits for."""

    plan: Plan
    nursery: trio.Nursery
    """Hosts the connections of both sides."""
    awaited: Awaited = field(default_factory=Awaited)
    sides: list[ProbeClient] = field(default_factory=list)

    @property
    def both(self) -> tuple[ProbeClient, ProbeClient]:
        """Side A and side B, both being there."""
        a, b = self.sides
        return a, b


@dataclass(frozen=True, slots=True)
class Crossing:
    """So many copies of a message on their way from one side to the other."""

    source: ProbeClient
    sink: ProbeClient
    message: bytes = field(repr=False)
    count: int

    async def send(self) -> None:
        """Send them."""
        for _ in range(self.count):
            await self.source.send(self.message)

    async def receive(self) -> None:
        """Receive them, and compare."""
        for _ in range(self.count):
            expect(await self.sink.receive(), self.message)


async def cross(*crossings: Crossing) -> None:
    """Have messages cross at the same time."""
    await until_failure(*(task for one in crossings for task in (one.send, one.receive)))


def expect(message: bytes | str, expected: bytes) -> None:
    """Raise Failure if a message is not the expected one."""
    if isinstance(message, str):
        raise Failure("a text message arrived; a relay drops them", "text passed")
    if message != expected:
        raise Failure("a message arrived that is not the one that was sent", "corrupt")


async def expect_silence(side: ProbeClient) -> None:
    """Wait for a message, and raise Failure when it comes, or when the side ends."""
    await side.receive()
    raise Failure(f"side {side.name} got a message that nobody sent", "corrupt")


async def measure(
    function: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs
) -> float:
    """Return how many seconds it takes to await this."""
    began = trio.current_time()
    await function(*args, **kwargs)
    return trio.current_time() - began


def rate(size: int, seconds: float) -> float:
    """Return the MB/s of so many bytes in so many seconds."""
    return size / 1e6 / max(seconds, 1e-9)


async def until_failure(*tasks: Callable[[], Awaitable[object]]) -> None:
    """Run tasks at the same time until all are done, or one raises Failure; raise that, alone."""
    failures: list[Failure] = []

    async def run(task: Callable[[], Awaitable[object]]) -> None:
        try:
            await task()
        except Failure as failure:
            failures.append(failure)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for task in tasks:
            nursery.start_soon(run, task)
    if failures:
        raise failures[0]
