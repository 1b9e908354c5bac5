"""Fixtures for all tests."""

from __future__ import annotations

import gc

pytest_plugins = ["tests.support.relay_fixtures"]


def pytest_collection_finish() -> None:
    """Exclude the modules and the collected tests from garbage collection.

    Tests that search for cycles collect often. The cost of a collection grows with the heap.
    """
    gc.collect()
    gc.freeze()
