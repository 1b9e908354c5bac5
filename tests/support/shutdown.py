"""Ways to stop a relay, and what its sides are told then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from .raw_client import Client
from .running_relay import WatchedRelay

TOLD = (1001, "relay stopping")

Stop = Callable[[WatchedRelay], Awaitable[None]]


async def stop(relay: WatchedRelay) -> None:
    """Stop a relay."""
    await relay.handle.stop()


async def stop_accepting(relay: WatchedRelay) -> None:
    """Stop a relay whose listening sockets outlive it."""
    await relay.handle.stop(close_listeners=True)


async def expect_told(client: Client) -> None:
    """Take and answer the close frame of a relay that stops."""
    assert await client.closed() == TOLD


async def stopped_within(relay: WatchedRelay, seconds: float) -> None:
    """Assert that the stop that is under way ends in so many seconds, but not earlier."""
    start = trio.current_time()
    await relay.handle.stop()
    assert trio.current_time() - start == pytest.approx(seconds, abs=0.05)
    assert not any(relay.kept)
