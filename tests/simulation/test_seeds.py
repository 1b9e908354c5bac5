"""The relay keeps its promises in simulated runs, and a run can be replayed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from proof.simulation.__main__ import run_chunk
from proof.simulation.plan import make_plan
from proof.simulation.run import run

SEEDS = 500
CHUNKS = [range(first, first + 50) for first in range(0, SEEDS, 50)]

PRINT_HASHES = """
from proof.simulation.plan import make_plan
from proof.simulation.run import run
print(*(run(make_plan(seed)).trace_hash for seed in range(8)))
"""


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"from {seeds[0]}")
def test_promises(seeds: range) -> None:
    """Each seed keeps all promises; `python -m proof.simulation --seed N` replays a failed seed."""
    assert run_chunk(seeds) == []


def test_replay_is_exact() -> None:
    """A seed has the same trace in another process, and with another hash seed of Python."""
    hashes = [run(make_plan(seed)).trace_hash for seed in range(8)]
    done = subprocess.run(
        [sys.executable, "-c", PRINT_HASHES],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == hashes
    assert len({*hashes}) == len(hashes)
