"""Actors: tasks that run one life after another, and that pause together for a rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Final

import trio

from .lives import LIVES
from .members import Place

LONGEST_LIFE: Final = 60.0
"""Seconds after which a life has failed."""
PAUSE: Final = (0.2, 2.0)
"""Minimum and maximum seconds between two lives of an actor."""


class Gate:
    """Gate that keeps new lives from starting while it is closed."""

    def __init__(self) -> None:
        self._opened = trio.Event()
        self._opened.set()
        self._running = 0
        self._changed = trio.Event()

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Wait until the gate is open; the block counts as a running life."""
        while not self._opened.is_set():  # it may close again before this task runs
            await self._opened.wait()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._changed.set()

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """Close the gate during a block, which begins once no life is running."""
        self._opened = trio.Event()
        try:
            while self._running:
                self._changed = trio.Event()
                await self._changed.wait()
            yield
        finally:
            self._opened.set()


@dataclass
class Results:
    """Number of lives that ended as they should, and the failures of the others."""

    lives: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


async def act(place: Place, random: Random, gate: Gate, results: Results) -> None:
    """Run random lives until cancelled; a failure is recorded and ends only its own life."""
    while True:
        (life,) = random.choices([*LIVES], [*LIVES.values()])
        async with gate.passed():
            try:
                with trio.fail_after(LONGEST_LIFE):
                    await life(place, random)
                results.lives[life.__name__] += 1
            except Exception as error:  # noqa: BLE001 - every failure is a result
                causes = ", ".join(f"{type(each).__name__} {each}" for each in leaves(error))
                results.failures.append(f"{life.__name__}: {causes}")
        await trio.sleep(random.uniform(*PAUSE))


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions inside of exception groups."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    else:
        yield error
