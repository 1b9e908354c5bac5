"""A relay without listeners or a sweeper, whose state a test can see."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from relay import RelaySettings
from relay.events import Event, TakeoverChecked
from relay.server.serve import start_connection
from relay.server.state import RelayState

from .raw_client import Client, Response
from .relay_fixtures import RunningRelay


class OpenRelay(RunningRelay):
    """Relay that serves memory streams, and its events."""

    def __init__(self, settings: RelaySettings, nursery: trio.Nursery) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.relay = RelayState(settings, self)
        self._nursery = nursery

    def on_event(self, event: Event) -> None:
        """Record an event."""
        self.events.append(event)

    @property
    def checks(self) -> int:
        """Return the number of takeover checks in progress."""
        return sum(pair.checked is not None for pair in self.relay.pairs)

    @property
    def results(self) -> list[bool]:
        """Results of the takeover checks: True if all sides answered."""
        results = [event.answered for event in self.events if isinstance(event, TakeoverChecked)]
        statistics = self.relay.statistics()
        assert (statistics.takeover_checks, statistics.evictions) == (
            len(results),
            results.count(False),
        )
        return results

    async def open_stream(self, *, lockstep: bool = False) -> trio.abc.Stream:
        make = trio.testing.lockstep_stream_pair if lockstep else trio.testing.memory_stream_pair
        client, server = make()
        start_connection(self.relay, self._nursery, server)
        return client

    async def upgrade(self, status: int = 101) -> tuple[Client, Response]:
        """Return one more client with the code, and its response, of this status."""
        client = await self.connect()
        response = await client.upgrade("/?pair=code")
        assert response.status == status, response
        return client, response

    async def end(self) -> None:
        """Drop every client; the relay must become empty."""
        await self.hang_up()
        await trio.sleep(10)
        assert not self.relay.connections
        assert not len(self.relay.pairs)
        assert not self.relay.admission.slots


@pytest.fixture
def settings() -> RelaySettings:
    """Return settings with takeover checks, and without other ends of a side."""
    return RelaySettings(ping_interval=0, stall_timeout=0)


@pytest.fixture
async def relay(
    settings: RelaySettings, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> AsyncIterator[OpenRelay]:
    """Run a relay, which must be empty at the end."""
    relay = OpenRelay(settings, nursery)
    yield relay
    await relay.end()
