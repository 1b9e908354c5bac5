"""Serve one connection from accept to close: request, pair, closing handshake.

An exception in one connection is handled here and affects no other connection.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from traceback import format_tb

import trio

from ..events import Outcome, RequestRefused, TlsHandshakeFailed
from ..limits.client_address import UNIX
from ..pairing.pump import end_pair, run_pair
from ..pairing.rendezvous import Pair
from ..pairing.side import Side
from ..pairing.takeover import evict_if_dead
from ..protocol.errors import leaves
from ..protocol.handshake import Handshake, asks_for_websocket, forwarded_for
from ..protocol.request import Request
from ..protocol.response import PAIR_IS_FULL, Response
from ..transport.socket_info import IP_FAMILIES, peer_address
from ..transport.wrap import wrap_stream
from .http_io import read_request, send_response
from .state import RelayState

__all__ = ["serve_connection"]

logger = logging.getLogger("relay")


async def serve_connection(
    state: RelayState, nursery: trio.Nursery, stream: trio.abc.Stream, scope: trio.CancelScope
) -> None:
    """Serve one accepted stream and close it.

    ``scope`` is the scope that `RelayState.open_scope` returned for the connection. An exception is
    logged and does not leave this function.

    The task and ``nursery`` must be shielded from cancellation. The relay ends a connection early
    by cancelling ``scope``. The client then has ``close_timeout`` for the closing handshake, which
    runs outside ``scope``. ``nursery`` hosts the writes of the transport that no task waits for.
    """
    wire: trio.abc.AsyncResource = stream
    try:
        wire = wrap_stream(stream, nursery, state.epoll_reader)
        side = Side(wire, state.settings, scope, client_address(stream))
        with scope:
            response = await serve_request(state, side)
            if response is not None:
                if response.is_error:
                    state.publish(RequestRefused(response.status.value, response.body, side.client))
                await send_response(wire, response)
            if not wire.handshake_done and wire.heard:
                state.publish(TlsHandshakeFailed(*wire.failure, side.client))
        await side.close()
    except* Exception as failures:  # noqa: BLE001 - the boundary of one connection
        for failure in leaves(failures):
            # Log the type and the place only: the message could quote client data.
            logger.error("a connection failed: %s", type(failure).__name__)  # noqa: TRY400
            logger.debug("it failed at:\n%s", "".join(format_tb(failure.__traceback__)))
        try:
            await trio.aclose_forcefully(wire)
        except Exception:  # noqa: BLE001 - the error handler must not fail
            logger.debug("nor could it be closed")
    finally:
        state.close_scope(scope)


@dataclass(frozen=True, slots=True, repr=False)
class Place:
    """Membership of a connection in a pair, and the 101 response for its client."""

    pair: Pair[Side]
    response: bytes


async def serve_request(state: RelayState, side: Side) -> Response | None:
    """Read the request of a client, and serve its WebSocket until the pair ends.

    Returns:
        The response to a plain or refused request, or None if no response remains to be sent.
    """
    place = await find_place(state, side)
    if not isinstance(place, Place):
        return place
    pair = place.pair
    if side is pair.a:
        state.live_pairs.add(pair)
    if state.stopping:
        state.stop_pair(pair)
    try:
        await side.accept(place.response)
        del place  # an idle connection keeps only the code of its request in memory
        if not side.departed:
            await (
                run_as_first(state, pair) if side is pair.a else run_as_second(state, pair, side)
            )
    finally:
        state.pairs.end(pair)
        end_pair(pair, side.departed or Outcome.BROKEN, side)
        if side is pair.a:
            deliver_held(pair)
            release(pair)
            state.note_ended(pair, trio.current_time())
    return None


async def find_place(state: RelayState, side: Side) -> Place | Response | None:
    """Read the request of a client, and join the client to the pair of its code.

    A refused connection holds no slot. Limits that depend only on the client address are checked
    before the request is validated, so that a client over its limit costs little.
    """
    request = await read_request(side.transport, state.settings.handshake_timeout)
    if not isinstance(request, Request):
        return request
    found: Place | Response | None = None
    if asks_for_websocket(request):
        side.client = state.admission.resolve_client(side.client, forwarded_for(request))
        found = state.admission.admit(side.scope, side.client)
    if found is None:
        judged = state.respond(request)
        found = await join(state, side, judged) if isinstance(judged, Handshake) else judged
    if isinstance(found, Response):
        state.leave(side.scope)
    return found


async def join(state: RelayState, side: Side, handshake: Handshake) -> Place | Response:
    """Join a client to the pair with its code, or return the response that refuses it.

    The rules of the token are in docs/protocol.md. They apply to the pair that remains after dead
    sides were evicted.
    """
    admission, scope = state.admission, side.scope
    admission.show_token(scope, handshake.token)
    reopened = state.pairs.find(handshake.code) is not None
    evicted = await evict_if_dead(state, handshake.code, scope)
    pair = state.pairs.find(handshake.code)
    if pair is None:
        # The new pair replaces the one that this client evicted, so max_waiting does not apply.
        waiting = 0 if evicted else state.pairs.waiting
        refusal = admission.check_new_code(scope, waiting, reopened=reopened)
    elif pair.b is None:
        refusal = admission.may_join(scope, pair.a.scope)
    else:
        refusal = PAIR_IS_FULL
    if refusal is not None:
        return refusal
    return Place(state.pairs.join(handshake.code, side, trio.current_time()), handshake.response)


async def run_as_first(state: RelayState, pair: Pair[Side]) -> None:
    """Hold the early data of side A until side B joins, then run the pair until a side departs."""
    await pair.a.hold()
    # A may have departed at the moment of joining. Its early data must still reach B.
    if pair.b is not None:
        await run_pair(pair, pair.a, pair.b, state.settings)


async def run_as_second(state: RelayState, pair: Pair[Side], b: Side) -> None:
    """Wake the task of side A, which runs the pair, and return when the pair is over."""
    state.note_joined(pair, trio.current_time())
    pair.a.alone.cancel()
    await b.released.wait()


def deliver_held(pair: Pair[Side]) -> None:
    """Send side B the early data that remains if the pair ended at the moment of joining."""
    if pair.b is not None and (held := pair.a.take_held()):
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            # The transport keeps what does not fit and sends it before the close frame.
            pair.b.transport.try_send(held)


def release(pair: Pair[Side]) -> None:
    """Release both sides for closing: the task of side A no longer reads or writes them."""
    pair.a.released.set()
    if pair.b is not None:
        pair.b.released.set()


def client_address(stream: trio.abc.Stream) -> str:
    """Return the address of the client at the other end of a stream; "" if it is unknown."""
    family, address = peer_address(stream)
    return address if family in (trio.socket.AF_UNSPEC, *IP_FAMILIES) else UNIX
