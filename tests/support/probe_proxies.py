"""Proxies between a probe and its relay in a test, and substitutes for a relay."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import trio
import trio.testing
import trio_websocket

from relay.cli.health import Health
from relay.cli.probe.attempt import Plan
from relay.cli.probe.client import Awaited, ConnectOptions
from relay.cli.probe.runner import Result, run_probe

from .relay_fixtures import MemoryRelay

Opener = Callable[[Awaited], Awaitable[trio.abc.Stream]]
Message = bytes | str

BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)


async def well() -> Health:
    """Return the health of a healthy relay."""
    return Health(True, "0 pairs", 0)


def plan_for(
    open_stream: Opener,
    *,
    code: str = "code",
    check_health: Callable[[], Awaitable[Health]] = well,
    idle: float = 0,
    size: int = 0,
) -> Plan:
    """Return a plan, by default a short one."""
    request = ConnectOptions(open_stream, "relay.example", f"/?pair={code}", (), 2**30)
    return Plan(request, check_health, idle, size, timeout=30)


async def probe(plan: Plan) -> tuple[list[Result], Result]:
    """Run a plan; return all results, and the last one."""
    reported: list[Result] = []
    results = await run_probe(plan, reported.append)
    assert reported == results
    return results, results[-1]


def into(relay: MemoryRelay) -> Opener:
    """Return a function that opens streams to a relay in memory."""

    async def open_stream(awaited: Awaited) -> trio.abc.Stream:
        return await relay.open_stream()

    return open_stream


class CountingStream(trio.abc.Stream):
    """A stream that counts the bytes of both directions."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.count = 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._stream.receive_some(max_bytes)
        self.count += len(data)
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.count += len(data)
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


class Script:
    """A server that sends one answer and disconnects, unless ``stay`` is set."""

    def __init__(self, nursery: trio.Nursery, answer: bytes, *, stay: bool = False) -> None:
        self._nursery = nursery
        self._answer = answer
        self._stay = stay

    async def open_stream(self, awaited: Awaited) -> trio.abc.Stream:
        """Return the probe's end of a new connection."""
        near, far = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._serve, far)
        return near

    async def _serve(self, stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(self._answer)
        if self._stay:
            await trio.sleep_forever()
        await stream.aclose()


class Proxy:
    """A proxy with limits.

    It cuts a connection that was silent for ``silence`` seconds, or that carried ``limit`` bytes in
    one direction. As a ``hole``, it discards data after the silence and cuts nothing.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        onward: Opener,
        *,
        silence: float = math.inf,
        hole: bool = False,
        limit: float = math.inf,
    ) -> None:
        self._nursery = nursery
        self._onward = onward
        self._silence = silence
        self._hole = hole
        self._limit = limit

    async def open_stream(self, awaited: Awaited) -> trio.abc.Stream:
        """Return the probe's end of a new connection."""
        near, far = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._carry, far, await self._onward(awaited))
        return near

    async def _carry(self, client: trio.abc.Stream, relay: trio.abc.Stream) -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._copy, client, relay, scope)
                nursery.start_soon(self._copy, relay, client, scope)
        if self._hole:
            await trio.sleep_forever()
        await trio.aclose_forcefully(client)
        await trio.aclose_forcefully(relay)

    async def _copy(
        self, source: trio.abc.Stream, sink: trio.abc.Stream, scope: trio.CancelScope
    ) -> None:
        carried = 0
        with suppress(*BROKEN):
            while carried < self._limit:
                scope.deadline = trio.current_time() + self._silence
                data = await source.receive_some()
                if not data:
                    break
                await sink.send_all(data)
                carried += len(data)
        scope.cancel()


class Impostor:
    """A server that joins one pair like a relay, and changes messages with ``edit``."""

    def __init__(
        self, nursery: trio.Nursery, edit: Callable[[Message], Sequence[Message]] = lambda x: [x]
    ) -> None:
        self._nursery = nursery
        self._edit = edit
        self._held: list[Message] = []
        self._streams: list[trio.abc.Stream] = []
        self.sides: list[trio_websocket.WebSocketConnection] = []
        self.close_for_peer: tuple[int, str | None] = (1000, "peer disconnected")
        """Close code and reason for a side whose peer is gone."""

    async def open_stream(self, awaited: Awaited) -> trio.abc.Stream:
        """Return the probe's end of a new connection."""
        near, far = trio.testing.memory_stream_pair()
        self._streams.append(far)
        self._nursery.start_soon(self._serve, far)
        return near

    async def cut(self) -> None:
        """End all connections without a close frame."""
        for stream in self._streams:
            await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            request = await trio_websocket.wrap_server_stream(
                nursery, stream, max_message_size=2**30
            )
            side = await request.accept()
            self.sides.append(side)
            with suppress(trio_websocket.ConnectionClosed):
                if len(self.sides) == 2:
                    for message in self._held:
                        await side.send_message(message)
                while True:
                    await self._pass_on(side, await side.get_message())
            for other in self.sides:
                await other.aclose(*self.close_for_peer)

    async def _pass_on(self, side: trio_websocket.WebSocketConnection, message: Message) -> None:
        edited = self._edit(message)
        if len(self.sides) == 1:
            self._held += edited
            return
        (other,) = (other for other in self.sides if other is not side)
        for each in edited:
            await other.send_message(each)
