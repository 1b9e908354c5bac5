"""Fixtures for all tests."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import settings

MAX_WORKERS = 4
"""Maximum number of processes that run tests. More processes disturb the tests with real clocks."""

# A deadline would measure the load of the machine.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

pytest_plugins = ["tests.support.relay_fixtures"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the number of processes that run tests; 0 is this process alone.

    The tests of ``deploy/`` share containers, so they run in one process.
    """
    if config.option.markexpr == "deploy":
        return 0
    workers = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS")
    # One process more than cores, because many tests wait for a time or for another program.
    return int(workers) if workers else min(len(os.sched_getaffinity(0)) + 1, MAX_WORKERS)


def pytest_collection_finish() -> None:
    """Exclude the modules and the collected tests from garbage collection.

    Tests that search for cycles collect often. The cost of a collection grows with the heap.
    """
    gc.collect()
    gc.freeze()
