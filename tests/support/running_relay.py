"""A relay with the settings of a test, whose tables the test can see.

The tables must be empty once the clients have left.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, TypeVar

import pytest
import trio
import trio.testing

from relay import Event, Observer, RelayHandle, RelaySettings, RequestRefused, serve_relay
from relay.server import serve as serve_module
from relay.server.state import RelayState

from .raw_client import Client, Response, upgrade_request
from .relay_fixtures import MemoryRelay
from .requests import with_lines

EventT = TypeVar("EventT", bound=Event)

QUIET: Final = {"ping_interval": 0, "stall_timeout": 0, "takeover_timeout": 0}
"""Settings for clients that answer no pings."""

TRY_LATER: Final = {409, 429, 503}


class TableSizes(NamedTuple):
    """Sizes of the tables of a relay."""

    pairs: int
    waiting: int
    connections: int
    slots: int
    live_pairs: int
    takeover_checks: int
    clients: int


class WatchedRelay(MemoryRelay):
    """Relay whose tables and events a test can see."""

    inside: RelayState

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.scope = trio.CancelScope()
        """Cancel scope around the relay."""

    def on_event(self, event: Event) -> None:
        """Record an event."""
        self.events.append(event)

    def events_of(self, kind: type[EventT]) -> list[EventT]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def table_sizes(self) -> TableSizes:
        """Current sizes of the relay's tables."""
        inside = self.inside
        return TableSizes(
            len(inside.pairs),
            inside.pairs.waiting,
            len(inside.connections),
            len(inside.admission.slots),
            len(inside.live_pairs),
            sum(pair.checked is not None for pair in inside.pairs),
            len(inside.admission.client_limits),
        )

    async def open_stream(self, *, lockstep: bool = False) -> trio.abc.Stream:
        stream = await super().open_stream(lockstep=lockstep)
        await trio.testing.wait_all_tasks_blocked()  # it is accepted then
        return stream

    async def adopt(self, stream: trio.abc.Stream) -> Client:
        """Return a client on this stream, once the relay has accepted it.

        All clients of a relay on sockets must be added in this way.
        """
        client = Client(stream)
        self._clients.append(client)
        with trio.fail_after(10):
            while self.inside.counters.connections_accepted < len(self._clients):
                await trio.sleep(0.001)
        return client

    async def connect_from(self, address: str) -> Client:
        """Return a client that connects from a local address; the relay must be on TCP."""
        host, port = self.handle.host, self.handle.port
        return await self.adopt(await trio.open_tcp_stream(host, port, local_address=address))

    async def get(self, path: str) -> tuple[int, bytes]:
        """Return the status and the body of a plain request."""
        async with Client(await self.open_stream()) as client:
            response = await client.get(path)
        return response.status, response.body

    async def refused(
        self,
        status: int,
        reason: str,
        target: str = "/?pair=new",
        lines: Sequence[str] = (),
        *,
        client: Client | None = None,
    ) -> Response:
        """Assert that a client whose head has these lines is refused, without other effects."""
        before = self.table_sizes
        async with client or Client(await self.open_stream()) as new_client:
            await new_client.send(with_lines(upgrade_request(target), *lines))
            response = await new_client.response()
        assert (response.status, response.body) == (status, reason.encode()), response
        assert ("retry-after" in response.headers) == (status in TRY_LATER)
        await self.wait_for_connections(before.connections - (client is not None))
        assert self.table_sizes._replace(connections=0) == before._replace(connections=0)
        last = self.events[-1]
        assert isinstance(last, RequestRefused)
        assert (last.status, last.reason) == (status, reason)
        assert type(last.status) is int  # and no member of an enumeration, which a log would show
        return response

    async def disconnect(self, *clients: Client) -> None:
        """Drop clients, and wait until the relay has closed their connections."""
        left = self.table_sizes.connections - len(clients)
        for client in clients:
            await trio.aclose_forcefully(client.stream)
        await self.wait_for_connections(left)

    async def disconnect_all(self) -> None:
        """Drop every client, and wait until the relay has closed their connections."""
        await self.hang_up()
        await self.wait_for_connections(0)

    async def wait_for_connections(self, connections: int) -> None:
        """Wait until the relay has at most this number of connections."""
        with trio.fail_after(10):
            while self.table_sizes.connections > connections:
                await trio.sleep(0.001)

    async def end(self) -> None:
        """Drop every client, assert that all tables become empty, and stop the relay."""
        await self.disconnect_all()
        self.inside.admission.client_limits.prune(math.inf)
        assert not any(self.table_sizes), self.table_sizes
        await self.handle.stop()


@asynccontextmanager
async def running(
    *,
    listeners: Sequence[trio.abc.Listener[Any]] = (),
    observer: Observer | None = None,
    **settings: Any,
) -> AsyncIterator[WatchedRelay]:
    """Run a relay in memory, or on listeners, by default without keepalive."""
    relay = WatchedRelay()

    async def serve(*, task_status: trio.TaskStatus[RelayHandle]) -> None:
        with relay.scope:
            await serve_relay(
                listeners=listeners or [relay.listener],
                settings=RelaySettings(**{**QUIET, **settings}),
                observer=observer or relay,
                task_status=task_status,
            )

    async with trio.open_nursery() as nursery:
        with pytest.MonkeyPatch.context() as patch:

            def watch(*arguments: Any) -> RelayState:
                relay.inside = RelayState(*arguments)
                return relay.inside

            patch.setattr(serve_module, "RelayState", watch)
            relay.handle = await nursery.start(serve)
        try:
            yield relay
        finally:
            await relay.hang_up()
        await relay.end()


async def exchange(a: Client, b: Client) -> None:
    """Assert that a message of either side reaches the other."""
    for source, sink in ((a, b), (b, a)):
        await source.send_message(b"hello")
        assert await sink.message() == b"hello"
