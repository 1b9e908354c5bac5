"""Keep a session connected until it is over."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from .background import background
from .channel import Channel, accept, initiate, wait_for_peer
from .endpoint import Endpoint
from .errors import (
    AnotherInitiator,
    ConnectionLost,
    EndpointError,
    NoRelay,
    ProtocolViolation,
    Refused,
    ResumeTimeout,
    TargetError,
    WrongKey,
)
from .events import Ended, Lost
from .messages import Abort, NewSession, Reason, Resume
from .outage import Outage
from .session import CLOSED, Session
from .session_state import SessionState
from .transfer import VIOLATION, transfer
from .websocket import WebSocket

RESUME_TIMEOUT: Final = 5.0  # seconds from the handshake to RESUME of the peer
FIRST_TIMEOUT: Final = 30.0  # seconds until the first connection; both were connected just before
CLOSE_TIMEOUT: Final = 3.0  # seconds to close the connection of a session that is over
LINGER: Final = 30.0  # seconds of attempts to connect again after FINISHED was sent


@asynccontextmanager
async def run_session(names: NewSession, endpoint: Endpoint) -> AsyncIterator[Session]:
    """Open a session, and end it after the block.

    When the block ends normally, this ends the stream to the peer, and waits until the peer has
    acknowledged the whole stream. An exception in the block aborts the session. Raises
    EndpointError if the session failed, also in place of a trio.BrokenResourceError of the session.
    """
    runner = SessionRunner(names, endpoint)
    session = Session(runner.state)
    try:
        async with background(runner.run):
            failure: EndpointError | None = None
            try:
                yield session
                await session.finish()
            except BaseException as error:
                is_target = isinstance(error, TargetError)
                await session.abort(
                    Abort(Reason.TARGET_UNREACHABLE, str(error)) if is_target else CLOSED
                )
                if isinstance(error, EndpointError):
                    failure = error
                elif isinstance(error, Exception):  # its text may be a secret
                    name = type(error).__name__
                    failure = EndpointError(f"the program of the session failed: {name}")
                if isinstance(error, trio.BrokenResourceError) and session.error is not None:
                    raise session.error from None
                raise
            finally:
                endpoint.emit(Ended(session.id, session.error or failure))
                await runner.stop()
    finally:
        # Exceptions keep the state in reference cycles, and garbage collection is rare.
        runner.state.inbox.free()
        runner.state.outbox.free()


class SessionRunner:
    """Runner that keeps a session connected, with one connection after the other."""

    def __init__(self, names: NewSession, endpoint: Endpoint) -> None:
        self.state = SessionState()
        self._names = names
        self._endpoint = endpoint
        self._outage = Outage(self.state.id, endpoint.emit)
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._started: Callable[[], None] | None = None  # None once it was called
        self._is_transferring = False

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Keep the session connected until it is over. Started once it is connected.

        Raises EndpointError if the first connection failed. A later failure is in the session.
        """
        self._started = task_status.started
        state = self.state
        self._scope.deadline = trio.current_time() + min(
            FIRST_TIMEOUT, self._endpoint.resume_timeout
        )
        with self._scope:
            while not state.over.is_set():
                await self._run_connection()
        self._ended.set()
        if not state.over.is_set():
            text = "the connection was lost, and did not come back in time"
            state.end(None if state.has_finished else ResumeTimeout(text))
        if self._started is not None:
            raise state.error or ResumeTimeout("the session ended before its first connection")

    async def stop(self) -> None:
        """End the task. If it has a connection, wait until the closing handshake is complete."""
        if self._is_transferring:
            with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await self._ended.wait()
        self._scope.cancel()

    async def _run_connection(self) -> None:
        """Connect once, and use the connection until it ends. Pause after a failure."""
        state, outage = self.state, self._outage
        try:
            async with self._endpoint.open(self._names.code, outage.duration) as websocket:
                channel, resume = await self._handshake(websocket)
                try:
                    state.connect(channel, resume, trio.current_time())
                except ProtocolViolation as error:
                    state.abort(VIOLATION, error)
                else:
                    self._on_connected()
                self._is_transferring = True
                await transfer(state, channel)
        except (ConnectionLost, AnotherInitiator, WrongKey, ProtocolViolation) as error:
            if state.channel is not None:
                state.channel = None
                timeout = LINGER if state.has_finished else self._endpoint.resume_timeout
                self._scope.deadline = trio.current_time() + timeout
                self._endpoint.emit(Lost(state.id, str(error)))
            self._is_transferring = False
            if not state.over.is_set():
                await outage.wait(error)
        except (NoRelay, Refused) as error:
            state.end(error)

    async def _handshake(self, websocket: WebSocket) -> tuple[Channel, Resume]:
        """Do the handshake, and exchange RESUME messages. The guest sends first."""
        names, inbox = self._names, self.state.inbox
        own = Resume(inbox.received, inbox.window).encode()
        if self._endpoint.is_host:
            channel, message = await accept(websocket, names, await wait_for_peer(websocket))
        else:
            channel = await initiate(websocket, names)
            await channel.send(own)
            with trio.move_on_after(RESUME_TIMEOUT) as scope:
                message = await channel.receive()
            if scope.cancelled_caught:
                raise ConnectionLost("the peer did not continue the session in time")
        if not isinstance(message, Resume):
            raise ConnectionLost("the peer did not begin with RESUME")
        if self._endpoint.is_host:
            await channel.send(own)
        return channel, message

    def _on_connected(self) -> None:
        self._scope.deadline = math.inf
        self._outage.connected()
        if self._started is not None:
            self._scope.shield = True  # so that a cancelled program can still abort the session
            self._started()
            self._started = None
