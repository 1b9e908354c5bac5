"""Serve one connection from accept to close: request, pair, closing handshake.

An exception in one connection is caught here, so that no other connection is affected.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import trio

from ..events import RequestRefused, TlsHandshakeFailed
from ..limits.client_address import UNIX
from ..outcomes import Outcome
from ..pairing.pair import Pair
from ..pairing.pump import run_pair
from ..pairing.side import Side
from ..protocol.handshake import Handshake, pair_code
from ..protocol.request import Request
from ..protocol.response import Response
from ..transport.accepted_socket import Accepted
from ..transport.base import Transport
from ..transport.socket_info import peer_address
from ..transport.wrap import wrap_stream
from .exception_groups import log_failures
from .http_io import RequestReader, send_response
from .join import Joined, check_join, must_wait, validate_request, with_token_detail
from .state import Phase, RelayState

logger = logging.getLogger("relay")


class Connection:
    """One accepted connection, with or without a pair.

    The object serves as a key in `AdmissionControl.slots`. ``nursery`` must be shielded from
    cancellation. It runs the task of the connection, and the writes that the transport does in the
    background. While a pair runs, the connection of side B has no task. When the pair ends, a new
    task closes that connection.

    To end a connection, the relay calls `cancel`, or `Pair.end` if the connection has a pair.
    Neither of them interrupts the closing handshake, which takes at most ``close_timeout``.
    """

    __slots__ = (
        "_cancelled",
        "_nursery",
        "_pair",
        "_scope",
        "_side",
        "_state",
        "_stream",
        "_transport",
        "_waits",
        "client",
    )

    _transport: Transport

    def __init__(self, state: RelayState, stream: Accepted, nursery: trio.Nursery) -> None:
        self._state = state
        self._nursery = nursery
        self._stream = stream
        self._waits = False
        self._cancelled = False
        self._scope: trio.CancelScope | None = None
        self._pair: Pair | None = None
        self._side: Side | None = None
        family, address = peer_address(stream)  # unknown once the client has reset the connection
        self.client = UNIX if family == trio.socket.AF_UNIX else address
        """Client address; "" if unknown."""

    def cancel(self) -> None:
        """End the pair of the connection, if any, and interrupt a handshake or a response."""
        self._cancelled = True
        if self._pair is not None:  # even if the rendezvous no longer contains the pair
            self._pair.end(Outcome.STOPPED)
        if self._scope is not None:
            self._scope.cancel()

    @contextmanager
    def _cancellable(self) -> Iterator[trio.CancelScope]:
        """Run the with block in a scope that `cancel` cancels; code that never waits needs none."""
        with trio.CancelScope() as self._scope:
            if self._cancelled:
                self._scope.cancel()
            yield self._scope

    def start(self) -> None:
        """Start the task that serves the connection."""
        self._start(self._serve)

    def _start(self, step: Callable[[], Awaitable[None]]) -> None:
        # A fixed name saves trio the work of building a name for each task.
        self._nursery.start_soon(self._run, step, name="relay connection")

    async def _run(self, step: Callable[[], Awaitable[None]]) -> None:
        """Run ``step``; then unregister the connection, unless it is side B of a running pair.

        If ``step`` raises an exception, the exception is logged, and the connection is closed.
        """
        try:
            await step()
        except* Exception as failures:  # noqa: BLE001 - the boundary of one connection
            log_failures(failures)
            try:
                await trio.aclose_forcefully(getattr(self, "_transport", self._stream))
            except Exception:  # noqa: BLE001 - the error handler must not fail
                logger.debug("nor could it be closed")
        finally:
            if not self._waits:
                self._state.remove(self)

    async def _serve(self) -> None:
        """Serve the request, and close the connection unless it waits as side B of a pair."""
        state = self._state
        transport = wrap_stream(self._stream, self._nursery, state.epoll_reader)
        self._transport = transport
        if (response := await self._serve_request()) is not None:
            if response.is_error:
                state.publish(self._refused(response))
            with self._cancellable():
                await send_response(transport, response)
        if not transport.handshake_done and transport.heard and not self._cancelled:
            state.publish(TlsHandshakeFailed(*transport.failure, self.client))
        if not self._waits:
            await self._close()

    def _refused(self, response: Response) -> RequestRefused:
        """Return the event for a refused request."""
        return RequestRefused(
            response.status.value, response.body, self.client, response.pair, response.detail
        )

    async def _serve_request(self) -> Response | None:
        """Read the request, and serve the WebSocket if the client joins a pair.

        For side A, this method returns at the end of the pair; for side B, after the handshake.

        Returns:
            The response to a plain or refused request; None if there is no response to send.
        """
        found = await self._join()
        if not isinstance(found, Joined):
            return found
        state, pair, side = self._state, found.pair, found.side
        self._pair, self._side = pair, side
        if side is pair.a:
            state.note_opened(pair)
        if state.phase >= Phase.STOPPING:
            pair.end(Outcome.STOPPED)
        try:
            await side.accept(found.response)
            del found  # free the memory of the request, except for its code
            if not side.departed and pair.outcome is None:
                if side is pair.a:
                    await self._run_pair(pair)
                else:
                    self._wait_as_b(pair, side)
        finally:
            if not self._waits:
                pair.end(side.departed or Outcome.BROKEN, side)
            if side is pair.a:
                pair.finish()
                state.note_ended(pair)
        return None

    async def _join(self) -> Joined | Response | None:
        """Read the request, and join the client to the pair of its code.

        If the client is refused, its slot is released.

        Returns:
            The membership in the pair; the response to a plain or refused request; or None if
            there is no response to send.
        """
        state = self._state
        reader = RequestReader(self._transport)
        if not reader.read_available():
            with self._cancellable():
                await reader.read(state.settings.handshake_timeout)
        request = reader.result()
        if not isinstance(request, Request):
            return request
        found = validate_request(state, self, request)
        if isinstance(found, Handshake):
            joined = await self._join_pair(found)
            if not isinstance(joined, Response):
                return joined
            found = joined
        state.release(self)
        code = pair_code(request) if found.is_error else None
        return found if code is None else replace(found, pair=state.hash_code(code))

    async def _join_pair(self, handshake: Handshake) -> Joined | Response | None:
        """Join the client to the pair of its code, or return the response that refuses the client.

        Return None if the connection was cancelled during a takeover check.
        """
        state, code = self._state, handshake.code
        authorization = state.admission.authorize(handshake.token)
        if must_wait(state, code):
            with self._cancellable() as scope:
                response = await check_join(state, code, authorization)
            if scope.cancelled_caught:
                return None
        else:
            response = await check_join(state, code, authorization)
        if response is not None:
            return with_token_detail(response, handshake.token)
        side = Side(self._transport, state.settings, self.client, authorization)
        pair = state.pairs.join(code, side, trio.current_time())
        return Joined(pair, side, handshake.response(state.hash_code(code)))

    async def _run_pair(self, pair: Pair) -> None:
        """Buffer the early data of side A until side B joins, then run the pair until it ends."""
        if pair.b is None:
            with trio.CancelScope() as pair.alone:
                await pair.early_data.receive()
            pair.alone = None
        # Even if side A departed just as side B joined, A's early data must still reach B.
        if pair.b is not None and pair.outcome is None:
            await run_pair(pair, pair.a, pair.b, self._state.settings)

    def _wait_as_b(self, pair: Pair, side: Side) -> None:
        """Wake the task of side A, which runs the pair. Side B has no task until the pair ends."""
        self._state.note_joined(pair)
        if not side.ended:  # the observer may have stopped the relay
            pair.end_wait()
            self._waits, side.on_end = True, self._close_b

    def _close_b(self) -> None:
        """Start the task that closes side B."""
        self._waits = False
        self._start(self._close)

    async def _close(self) -> None:
        """Close the transport. If the client is a side, complete the closing handshake first.

        If both together take longer than ``close_timeout``, close the transport forcefully.
        """
        with trio.move_on_after(self._state.settings.close_timeout) as in_time:
            if self._side is not None and self._pair is not None:
                await self._side.close(self._pair.over)
            await self._transport.aclose()
        if in_time.cancelled_caught:
            await trio.aclose_forcefully(self._transport)
