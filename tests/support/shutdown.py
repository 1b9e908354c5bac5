"""Ways to stop a relay, and the close frame of the stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from .raw_client import Client
from .running_relay import WatchedRelay

STOPPING_CLOSE = (1001, "relay stopping")

Stop = Callable[[WatchedRelay], Awaitable[None]]


async def stop(relay: WatchedRelay) -> None:
    """Stop a relay."""
    await relay.handle.stop()


async def stop_accepting(relay: WatchedRelay) -> None:
    """Stop a relay whose listening sockets outlive it."""
    await relay.handle.stop(close_listeners=True)


async def expect_stopping(client: Client) -> None:
    """Receive and answer the close frame of a relay that stops."""
    assert await client.closed() == STOPPING_CLOSE


async def stopped_within(relay: WatchedRelay, seconds: float) -> None:
    """Assert that the current stop takes this number of seconds."""
    start = trio.current_time()
    await relay.handle.stop()
    assert trio.current_time() - start == pytest.approx(seconds, abs=0.05)
    assert not any(relay.table_sizes)
