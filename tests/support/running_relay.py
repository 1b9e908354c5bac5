"""A relay with the settings that a test names, which can be seen from inside as well.

What it keeps must be gone once its clients are.
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
"""Settings for clients that answer no pings, as most here."""

TRY_LATER: Final = {409, 429, 503}


class Kept(NamedTuple):
    """Sizes of the tables of a relay."""

    pairs: int
    waiting: int
    connections: int
    places: int
    counted: int
    probes: int
    clients: int
    authorized: int


class WatchedRelay(MemoryRelay):
    """A relay whose tables and events a test can see."""

    inside: RelayState

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.scope = trio.CancelScope()
        """Around the relay, to cancel it by."""

    def on_event(self, event: Event) -> None:
        """Take note of an event."""
        self.events.append(event)

    def told(self, kind: type[EventT]) -> list[EventT]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def kept(self) -> Kept:
        """Current sizes of the relay's tables."""
        inside = self.inside
        return Kept(
            len(inside.pairs),
            inside.pairs.waiting,
            len(inside.connections),
            len(inside.admission.slots),
            len(inside.live_pairs),
            len(inside.takeover_checks),
            len(inside.admission.client_limits),
            len(inside.admission.authorized),
        )

    async def open_stream(self, *, lockstep: bool = False) -> trio.abc.Stream:
        stream = await super().open_stream(lockstep=lockstep)
        await trio.testing.wait_all_tasks_blocked()  # it is accepted then
        return stream

    async def adopt(self, stream: trio.abc.Stream) -> Client:
        """Return a client that has this stream to the relay, once that has accepted it.

        For a relay on sockets, where all clients are to come in this way.
        """
        client = Client(stream)
        self._clients.append(client)
        with trio.fail_after(10):
            while self.inside.counters.connections_accepted < len(self._clients):
                await trio.sleep(0.001)
        return client

    async def come_from(self, address: str) -> Client:
        """Return a client that connects from an address of this machine, if the relay is on TCP."""
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
        target: str = "/?pair=newcomer",
        lines: Sequence[str] = (),
        *,
        client: Client | None = None,
    ) -> Response:
        """Have a newcomer, whose head has these lines too, refused so; nothing else changes."""
        before = self.kept
        async with client or Client(await self.open_stream()) as newcomer:
            await newcomer.send(with_lines(upgrade_request(target), *lines))
            response = await newcomer.response()
        assert (response.status, response.body) == (status, reason.encode()), response
        assert ("retry-after" in response.headers) == (status in TRY_LATER)
        await self.until_left(before.connections - (client is not None))
        assert self.kept._replace(connections=0) == before._replace(connections=0)
        last = self.events[-1]
        assert isinstance(last, RequestRefused)
        assert (last.status, last.reason) == (status, reason)
        assert type(last.status) is int  # and no member of an enumeration, which a log would show
        return response

    async def gone(self, *clients: Client) -> None:
        """Drop clients, and wait until the relay has noticed."""
        left = self.kept.connections - len(clients)
        for client in clients:
            await trio.aclose_forcefully(client.stream)
        await self.until_left(left)

    async def all_gone(self) -> None:
        """Drop every client, and wait until the relay has noticed."""
        await self.hang_up()
        await self.until_left(0)

    async def until_left(self, connections: int) -> None:
        """Wait until there are no more connections than so many."""
        with trio.fail_after(10):
            while self.kept.connections > connections:
                await trio.sleep(0.001)

    async def end(self) -> None:
        """Drop every client; everything must then be gone by itself, and the relay stop."""
        await self.all_gone()
        self.inside.admission.client_limits.prune(math.inf)
        assert not any(self.kept), self.kept
        await self.handle.stop()


@asynccontextmanager
async def running(
    *,
    listeners: Sequence[trio.abc.Listener[Any]] = (),
    observer: Observer | None = None,
    **settings: Any,
) -> AsyncIterator[WatchedRelay]:
    """Run a relay in memory, or on listeners, by default one to which clients may be mute."""
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
    """Assert that what either sends reaches the other one."""
    for source, sink in ((a, b), (b, a)):
        await source.send_message(b"hello")
        assert await sink.message() == b"hello"
