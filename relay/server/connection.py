"""One connection from accept to close: the door, its place in a pair, its end.

This is where a failure of one connection stops: whatever it does, no other one notices.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from traceback import format_tb

import trio

from ..events import Refused, TlsHandshakeFailed
from ..outcome import Outcome
from ..pairing.pump import conclude, run_pair
from ..pairing.rendezvous import Pair
from ..pairing.side import Endpoint
from ..pairing.takeover import drive_out_ghosts
from ..protocol.errors import leaves
from ..protocol.handshake import Upgrade, asks_for_websocket, forwarded_for
from ..protocol.request import Request
from ..protocol.response import PAIR_IS_FULL, Answer
from ..transport.socket_info import peer_of
from ..transport.wrap import open_wire
from .http_io import read_request, send_answer
from .state import Relay

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
            answer = await serve_request(relay, endpoint)
            if answer is not None:
                if answer.refuses:
                    relay.notice(Refused(answer.status.value, answer.body, endpoint.client))
                await send_answer(wire, answer)
            if not wire.begun and wire.heard:
                relay.notice(TlsHandshakeFailed(*wire.failure, endpoint.client))
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


@dataclass(frozen=True, slots=True, repr=False)
class Place:
    """A connection's place in a pair, and the 101 response that tells its client so."""

    pair: Pair[Endpoint]
    response: bytes


async def serve_request(relay: Relay, endpoint: Endpoint) -> Answer | None:
    """Read the request of a client, and serve its WebSocket until that is over.

    Returns:
        The answer to any other request, or to one that is refused. None if there is nothing more
        to say.
    """
    place = await find_place(relay, endpoint)
    if not isinstance(place, Place):
        return place
    pair = place.pair
    if endpoint is pair.a:
        relay.counted.add(pair)
    if relay.stopping:
        relay.stop_pair(pair)
    try:
        await endpoint.accept(place.response)
        del place  # an idle connection holds nothing of its request but the code
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


async def find_place(relay: Relay, endpoint: Endpoint) -> Place | Answer | None:
    """Read the request of a client, and join it to the pair that it asks for.

    A refused connection holds no slot. Limits that need the client's address alone are checked
    before the request is judged, so that a client over its limit costs little.
    """
    request = await read_request(endpoint.wire, relay.settings.head_timeout)
    if not isinstance(request, Request):
        return request
    found: Place | Answer | None = None
    if asks_for_websocket(request):
        endpoint.client = relay.entrance.client(endpoint.client, forwarded_for(request))
        found = relay.entrance.enter(endpoint.scope, endpoint.client)
    if found is None:
        judged = relay.judge(request)
        found = await join(relay, endpoint, judged) if isinstance(judged, Upgrade) else judged
    if isinstance(found, Answer):
        relay.leave(endpoint.scope)
    return found


async def join(relay: Relay, endpoint: Endpoint, upgrade: Upgrade) -> Place | Answer:
    """Join a client to the pair with its code; return the refusal if it may not.

    The rules of the host token are in docs/protocol.md. They hold for the pair that is there after
    dead sides were evicted.
    """
    entrance, scope = relay.entrance, endpoint.scope
    entrance.show_token(scope, upgrade.token)
    reopened = relay.pairs.find(upgrade.code) is not None
    evicted = await drive_out_ghosts(relay, upgrade.code, scope)
    pair = relay.pairs.find(upgrade.code)
    if pair is None:
        # A new pair in place of the one that this client evicted adds none to those that wait.
        waiting = 0 if evicted else relay.pairs.waiting
        refused = entrance.may_open(scope, waiting, reopened=reopened)
    elif pair.b is None:
        refused = entrance.may_join(scope, pair.a.scope)
    else:
        refused = PAIR_IS_FULL
    if refused is not None:
        return refused
    return Place(relay.pairs.join(upgrade.code, endpoint, trio.current_time()), upgrade.response)


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
