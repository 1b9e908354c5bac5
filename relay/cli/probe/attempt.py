"""State of a running probe, and the building blocks of its steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from ..health import Health
from .client import Awaited, ConnectOptions, ProbeClient
from .hints import Failure


@dataclass(frozen=True, slots=True)
class Plan:
    """Parameters of a probe. Times are in seconds and sizes in bytes."""

    request: ConnectOptions
    check_health: Callable[[], Awaitable[Health]]
    """Function that requests the health of the relay."""
    idle: float
    """Duration of the idle step; 0 omits the step."""
    size: int
    """Size of a large message; 0 omits the steps with large messages."""
    timeout: float
    """Timeout of a step. The idle step may take this time in addition to its idle time."""
    quick: bool = False
    """True to omit the health check, the pings and all messages of more than a few bytes."""


@dataclass(slots=True)
class Attempt:
    """State of a running probe: its plan, its open sides, and what the current step waits for."""

    plan: Plan
    nursery: trio.Nursery
    """Nursery that runs the connections of both sides."""
    awaited: Awaited = field(default_factory=Awaited)
    sides: list[ProbeClient] = field(default_factory=list)

    @property
    def both(self) -> tuple[ProbeClient, ProbeClient]:
        """Side A and side B, which must both be open."""
        a, b = self.sides
        return a, b


async def transfer(source: ProbeClient, sink: ProbeClient, message: bytes, count: int) -> None:
    """Send ``count`` copies of a message to the other side; check that each arrives unchanged."""

    async def send() -> None:
        for _ in range(count):
            await source.send(message)

    async def receive() -> None:
        for _ in range(count):
            expect(await sink.receive(), message)

    await until_failure(send, receive)


def expect(message: bytes | str, expected: bytes) -> None:
    """Raise Failure if a message differs from ``expected``."""
    if isinstance(message, str):
        raise Failure("a text message arrived; a relay drops them", "text passed")
    if message != expected:
        raise Failure("the received message differs from the message that was sent", "corrupt")


async def expect_silence(side: ProbeClient) -> None:
    """Wait until cancelled; raise Failure when a message arrives or the side is closed."""
    await side.receive()
    raise Failure(f"side {side.name} received a message that no side sent", "corrupt")


async def measure(task: Awaitable[object]) -> float:
    """Await a coroutine, and return its duration in seconds."""
    began = trio.current_time()
    await task
    return trio.current_time() - began


def rate(size: int, seconds: float) -> float:
    """Return the rate in MB/s for ``size`` bytes in ``seconds``."""
    return size / 1e6 / max(seconds, 1e-9)


async def until_failure(*tasks: Callable[[], Awaitable[object]]) -> None:
    """Run tasks concurrently. If a task raises Failure, cancel the others and raise the Failure.

    The Failure is raised as it is, not in an exception group.
    """
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
