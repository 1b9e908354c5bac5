"""Replayable runs of trio.

trio shuffles the runnable tasks with a random generator of its own, which has no public seed. But
trio registers the generator with Hypothesis, and Hypothesis seeds all registered generators for
each example of a test. So a run inside an example is the same each time. The lines and the clients
have generators with the seed of the run, and vary the order of events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

ResultT = TypeVar("ResultT")


def replayable(function: Callable[[], ResultT]) -> ResultT:
    """Call a function with seeded random generators, and return its result."""
    results: list[ResultT] = []

    @settings(database=None, deadline=None, phases=[Phase.explicit])
    @example(None)
    @given(st.none())
    def call(_: None) -> None:
        results.append(function())

    call()
    return results[0]
