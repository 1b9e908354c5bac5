"""One connection from accept to close: the door, its place in a pair, its end.

This is where a failure of one connection stops: whatever it does, no other one notices.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from traceback import format_tb

import trio

from .door import PAIR_IS_FULL, Answer, Upgrade, read_head, send_answer
from .endpoint import PEER_DISCONNECTED, Endpoint
from .errors import PairFull
from .pair import run_pair
from .rendezvous import Pair, Rendezvous
from .settings import RelaySettings
from .wire import open_wire

__all__ = ["Relay", "serve_connection"]

logger = logging.getLogger("relay")


@dataclass(eq=False, slots=True)
class Relay:
    """What the connections of one relay share."""

    settings: RelaySettings
    pairs: Rendezvous[Endpoint] = field(default_factory=Rendezvous)
    connections: set[trio.CancelScope] = field(default_factory=set)
    """A scope for each open connection, around all but its closing."""
    stopping: bool = False

    def open_scope(self) -> trio.CancelScope:
        """Return the scope of a new connection; it is cancelled already if the relay stops."""
        scope = trio.CancelScope()
        self.connections.add(scope)
        if self.stopping:
            scope.cancel()
        return scope

    def stop(self) -> None:
        """End every connection, those that are still to come among them."""
        self.stopping = True
        for scope in self.connections:
            scope.cancel()

    def health(self) -> str:
        """Return the body of the health answer."""
        return json.dumps({"ok": True, "pairs": len(self.pairs)}, separators=(",", ":"))


async def serve_connection(relay: Relay, stream: trio.abc.Stream) -> None:
    """Serve one accepted stream, and close it.

    Whatever goes wrong stays in here. It is to be run shielded from cancellation: what ends it
    early is `Relay.stop`, after which its client has ``close_timeout`` to take its close frame.
    """
    scope = relay.open_scope()
    wire: trio.abc.AsyncResource = stream
    try:
        # What belongs to this connection alone, above all trio-websocket's reader, runs in a
        # nursery around that scope: the reader is still there for the closing handshake.
        async with trio.open_nursery() as nursery:
            wire = open_wire(stream, nursery)
            endpoint = Endpoint(wire, relay.settings, scope, nursery)
            with scope:
                head = await read_head(wire, relay.settings.head_timeout, relay.health)
                if isinstance(head, Upgrade):
                    head = await take_place(relay, endpoint, head)
                if head is not None:
                    await send_answer(wire, head)
            await endpoint.close()
            nursery.cancel_scope.cancel()
    except* Exception as failures:  # noqa: BLE001 - the one boundary, see above
        for failure in leaves(failures):
            # Its kind and its place: its message could quote what a client sent.
            logger.error("a connection failed: %s", type(failure).__name__)  # noqa: TRY400
            logger.debug("it failed at:\n%s", "".join(format_tb(failure.__traceback__)))
        try:
            await trio.aclose_forcefully(wire)
        except Exception:  # noqa: BLE001 - what stands here must not fail itself
            logger.debug("nor could it be closed")
    finally:
        relay.connections.discard(scope)


async def take_place(relay: Relay, endpoint: Endpoint, upgrade: Upgrade) -> Answer | None:
    """Be a side of the pair with this code until that is over; or return why that cannot be."""
    try:
        pair = relay.pairs.join(upgrade.code, endpoint, trio.current_time())
    except PairFull:
        return PAIR_IS_FULL
    try:
        await endpoint.accept(upgrade.response)
        if not endpoint.departed:
            await (be_a(pair) if endpoint is pair.a else be_b(pair.a, endpoint))
    finally:
        relay.pairs.end(pair)
        part(pair, endpoint)
    return None


async def be_a(pair: Pair[Endpoint]) -> None:
    """Wait for side B, holding what A sends, and then run the pair until one side departs."""
    with pair.a.alone:
        await pair.a.hold()
    # Also if A departed in the moment in which B came: what it sent before is for B.
    if pair.b is not None:
        await run_pair(pair.a, pair.b)


async def be_b(a: Endpoint, b: Endpoint) -> None:
    """Tell side A, whose task runs the pair, that B is there; return when the pair is over."""
    a.alone.cancel()
    await b.released.wait()


def part(pair: Pair[Endpoint], endpoint: Endpoint) -> None:
    """End the other side of a pair that this endpoint is done with."""
    if endpoint is pair.b:
        pair.a.end(endpoint.peer_code, PEER_DISCONNECTED)
        return
    endpoint.released.set()
    if pair.b is not None:
        pair.b.end(endpoint.peer_code, PEER_DISCONNECTED)
        pair.b.released.set()


def leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    """Yield the exceptions in a group that are no groups themselves."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error
