"""Many seeds over real sockets, and over links that delay, lose and reorder packets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random
from typing import Final

import trio

from .checker import check
from .history import History
from .link import Link, run_on_link
from .sockets import make_real_plan, run_on_sockets

BATCH: Final = 40
"""Number of seeds whose clients share a relay."""


def make_link(seed: int) -> Link:
    """Return a link with properties that follow from a seed."""
    rng = Random(f"link {seed}")
    return Link(
        rng.choice((0.001, 0.02, 0.1)), rng.choice((0.0, 0.01, 0.05)), rng.choice((0.0, 0.1)), rng
    )


def run_batches(first: int, count: int) -> Iterator[tuple[str, History, list[str]]]:
    """Run seeds in batches; yield a description, the history and the faults of each run."""
    for start in range(first, first + count, BATCH):
        seeds = range(start, min(start + BATCH, first + count))
        history = trio.run(run_on_sockets, seeds)
        yield f"seeds {start} to {seeds[-1]} over sockets", history, check(history)
        if os.geteuid() == 0:
            link = make_link(start)
            history = trio.run(run_on_link, make_real_plan(seeds, ("link",)), link)
            name = f"over a link: {link.delay:g} s, {link.lost} lost, {link.reordered} reordered"
            yield f"seeds {start} to {seeds[-1]} {name}", history, check(history)
