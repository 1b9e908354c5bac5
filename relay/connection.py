"""One connection from accept to close: the door, its place in a pair, its end.

This is where a failure of one connection stops: whatever it does, no other one notices.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from traceback import format_tb

import trio

from .answers import PAIR_IS_FULL, Answer
from .door import read_request, send_answer
from .endpoint import Endpoint
from .errors import PairFull, leaves
from .events import Refused, TlsHandshakeFailed
from .ghosts import drive_out_ghosts
from .kernel import peer_of
from .outcome import Outcome
from .pair import conclude, run_pair
from .relay import Relay
from .rendezvous import Pair
from .request import Upgrade
from .wires import open_wire

__all__ = ["serve_connection"]

logger = logging.getLogger("relay")


async def serve_connection(
    relay: Relay, nursery: trio.Nursery, stream: trio.abc.Stream, scope: trio.CancelScope
) -> None:
    """Serve one accepted stream, for which the relay opened the scope, and close it.

    Whatever goes wrong stays in here. It is to be run shielded from cancellation, and so is the
    nursery, in which its wire may write on while nobody waits for that: what ends a connection
    early is `Relay.stop`, after which its client has ``close_timeout`` to take its close frame.
    """
    wire: trio.abc.AsyncResource = stream
    try:
        wire = open_wire(stream, nursery, relay.lookout)
        endpoint = Endpoint(wire, relay.settings, scope, peer_of(stream))
        with scope:
            head = await read_request(wire, relay.settings.head_timeout, relay.judge)
            if not wire.begun:
                relay.notice(TlsHandshakeFailed(*wire.failure, endpoint.client))
            if isinstance(head, Upgrade):
                head = await let_in(relay, endpoint, head)
            if head is not None:
                if head.refuses:
                    relay.notice(Refused(head.status, head.body, endpoint.client))
                await send_answer(wire, head)
        await endpoint.close()
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
        relay.close_scope(scope)


async def let_in(relay: Relay, endpoint: Endpoint, upgrade: Upgrade) -> Answer | None:
    """Let a client in, to be a side until that is over; or return why not.

    A side keeps its place until its connection is closed; who is refused has none.
    """
    endpoint.client = relay.entrance.client(endpoint.client, upgrade.forwarded)
    refused = relay.entrance.enter(endpoint.scope, endpoint.client)
    if refused is None:
        refused = await take_place(relay, endpoint, upgrade)
    if refused is not None:
        relay.leave(endpoint.scope)
    return refused


async def take_place(relay: Relay, endpoint: Endpoint, upgrade: Upgrade) -> Answer | None:
    """Be a side of the pair with this code until that is over; or return why that cannot be."""
    # Who drove a ghost out takes over a code that was open: it opens none, and needs no token.
    takes_over = await drive_out_ghosts(relay, upgrade.code)
    if not takes_over and relay.pairs.find(upgrade.code) is None:
        refused = relay.entrance.may_open(upgrade.token, relay.pairs.waiting)
        if refused is not None:
            return refused
    try:
        pair = relay.pairs.join(upgrade.code, endpoint, trio.current_time())
    except PairFull:
        return PAIR_IS_FULL
    if endpoint is pair.a:
        relay.counted.add(pair)
    if relay.stopping:
        relay.stop_pair(pair)
    try:
        await endpoint.accept(upgrade.response)
        if not endpoint.departed:
            await (be_a(relay, pair) if endpoint is pair.a else be_b(relay, pair, endpoint))
    finally:
        relay.pairs.end(pair)
        conclude(pair, endpoint.departed or Outcome.BROKEN, endpoint)
        if endpoint is pair.a:
            deliver_held(pair)
            release(pair)
            relay.note_ended(pair, trio.current_time())
    return None


async def be_a(relay: Relay, pair: Pair[Endpoint]) -> None:
    """Wait for side B, holding what A sends, and then run the pair until one side departs."""
    await pair.a.hold()
    # Also if A departed in the moment in which B came: what it sent before is for B.
    if pair.b is not None:
        await run_pair(pair, pair.a, pair.b, relay.settings)


async def be_b(relay: Relay, pair: Pair[Endpoint], b: Endpoint) -> None:
    """Tell side A, whose task runs the pair, that B is there; return when the pair is over."""
    relay.note_joined(pair, trio.current_time())
    pair.a.alone.cancel()
    await b.released.wait()


def deliver_held(pair: Pair[Endpoint]) -> None:
    """Send B what is still held for it, if the pair ended in the moment in which B came."""
    if pair.b is not None and (held := pair.a.take_held()):
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            pair.b.wire.send_now(held)  # what there is no room for goes out before the close frame


def release(pair: Pair[Endpoint]) -> None:
    """Let both sides be closed: the task of side A, which read and wrote them, does so no more."""
    pair.a.released.set()
    if pair.b is not None:
        pair.b.released.set()
