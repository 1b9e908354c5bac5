"""One connection of a session: send and receive until the session is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from .acknowledgements import Acknowledgements
from .channel import Channel
from .errors import PeerAborted, ProtocolViolation
from .lost import ConnectionLost
from .messages import (
    Abort,
    Ack,
    Data,
    End,
    Finished,
    Message,
    Ping,
    Pong,
    Reason,
    Resume,
)
from .session_state import SessionState

ACTIVE: Final = 30.0
"""Seconds for which a stream counts as active."""

ACTIVE_SILENCE: Final = 1.5
"""Seconds of silence of an active session after which the peer gets PING."""

IDLE_SILENCE: Final = 15.0
"""Seconds of silence of another session after which the peer gets PING."""

PONG_TIMEOUT: Final = 3.5
"""Further seconds of silence after which the connection is lost."""

REPORT_TIMEOUT: Final = 2.0
"""Seconds to tell the peer that it violated the protocol."""

VIOLATION_TEXT: Final = "the peer violated the endpoint protocol"

DATA_TYPE: Final = bytes((Data.TYPE,))


class Transfer:
    """Connection of a session after RESUME of both endpoints.

    One task sends. It decides what to send next when it has time, so that a slow network delays
    only data, and an acknowledgement covers all that was consumed meanwhile. The other task
    receives, and checks the silence of the peer.
    """

    def __init__(self, state: SessionState, channel: Channel, resume: Resume) -> None:
        """Continue the session; raise ProtocolViolation if ``resume`` does not fit."""
        state.outbox.resume(resume.received, resume.window)
        self._acknowledgements = state.acknowledgements = Acknowledgements(state.inbox)
        self._state = state
        self._channel = channel
        self._pong_is_due = self._ping_is_due = False
        self._finished_sent = self._finished_received = False
        now = trio.current_time()
        self._sent_at = now
        self._heard_at = now
        self._active_at = now
        self._violation: ProtocolViolation | None = None
        self._listening = trio.CancelScope()
        self._waiting = trio.CancelScope()

    async def run(self) -> None:
        """Send and receive until the session is over; raise ConnectionLost if that ends before."""
        lost: ConnectionLost | None = None

        async def run(function: Callable[[], Awaitable[None]]) -> None:
            nonlocal lost
            try:
                await function()
            except ConnectionLost as error:
                lost = lost or error
                nursery.cancel_scope.cancel()
            except ProtocolViolation as error:
                # The sending task goes on, because messages that it has begun must not be skipped.
                self._violation = error
                self._state.abort = Abort(Reason.PROTOCOL_VIOLATION, VIOLATION_TEXT)
                self._state.to_send.set()
                await trio.sleep(REPORT_TIMEOUT)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, self._send)
            nursery.start_soon(run, self._receive)
        try:
            if self._violation is not None:
                # The peer may have cut the connection before ABORT was sent. The session ends all
                # the same, because its error must not be lost with the connection.
                self._state.end(self._violation)
            elif lost is not None and not self._state.over.is_set():
                raise lost
        finally:
            del lost  # no reference cycle keeps the connection with its queue

    async def _send(self) -> None:
        """Send messages while the session lasts, and close the connection after it."""
        state, channel = self._state, self._channel
        while not state.over.is_set():
            message = self._next_message()
            if message is None:
                with trio.move_on_at(self._acknowledgements.next_time(self._sent_at)):
                    await state.to_send.wait()
                continue
            await channel.send(message)
            self._sent_at = trio.current_time()
            self._acknowledgements.is_answer_due = False
            if message[0] == Finished.TYPE:
                self._finished_sent = state.has_finished = True
                self._end_if_finished()
            elif message[0] == Abort.TYPE:
                state.end(self._violation)
        self._listening.cancel()
        await channel.close()

    def _next_message(self) -> bytes | None:
        """Return the next message to send; None if none is due."""
        state = self._state
        now = trio.current_time()
        if state.abort is not None:
            return state.abort.encode()
        if self._pong_is_due:
            self._pong_is_due = False
            return Pong().encode()
        if self._acknowledgements.is_due(now, self._sent_at):
            return Ack(self._acknowledgements.take()).encode()
        if self._ping_is_due:
            self._ping_is_due = False
            return Ping().encode()
        piece = state.outbox.next_data()
        if piece is not None:
            size = len(piece)
            message = b"".join((DATA_TYPE, piece))
            piece.release()
            state.outbox.advance(size)
            self._stay_active(now)
            return message
        if state.outbox.take_end():
            self._stay_active(now)
            return End().encode()
        is_complete = state.inbox.ended and state.outbox.is_acknowledged
        if is_complete and not self._finished_sent:
            return Finished().encode()
        return None

    async def _receive(self) -> None:
        """Receive messages; raise ConnectionLost when the peer is silent for too long."""
        with self._listening:
            pinged = False
            while not self._state.over.is_set():
                silence = PONG_TIMEOUT if pinged else self._permitted_silence()
                message = None
                with trio.move_on_at(self._heard_at + silence) as self._waiting:
                    message = await self._channel.receive()
                if message is not None:
                    pinged = False
                    self._heard_at = trio.current_time()
                    self._handle(message)
                elif pinged:
                    raise ConnectionLost("the peer was silent for too long")
                else:
                    pinged = self._ping_is_due = True
                    self._heard_at = trio.current_time()
                    self._state.to_send.set()

    def _permitted_silence(self) -> float:
        """Return the seconds of silence after which the peer gets PING."""
        is_active = self._heard_at < self._active_at + ACTIVE
        return ACTIVE_SILENCE if is_active else IDLE_SILENCE

    def _stay_active(self, now: float) -> None:
        """Count the session as active, and shorten the permitted silence if it was idle."""
        if now >= self._active_at + ACTIVE:
            self._waiting.deadline = min(self._waiting.deadline, now + ACTIVE_SILENCE)
        self._active_at = now

    def _handle(self, message: Message) -> None:
        """Act on a message; raise ProtocolViolation if it is not allowed."""
        state = self._state
        if isinstance(message, Data):
            state.inbox.receive(message.data)
            self._on_stream()
        elif isinstance(message, Ack):
            state.outbox.acknowledge(message.received)
            state.to_write.set()
            state.to_send.set()
        elif isinstance(message, Ping):
            self._pong_is_due = True
            state.to_send.set()
        elif isinstance(message, Pong):
            pass
        elif isinstance(message, End):
            state.inbox.end()
            self._on_stream()
        elif isinstance(message, Finished):
            if not (state.outbox.ended and state.inbox.ended):
                raise ProtocolViolation("FINISHED before the end of both streams")
            self._finished_received = True
            self._end_if_finished()
        elif isinstance(message, Abort):
            state.end(PeerAborted(message.reason, message.text))
        else:
            raise ProtocolViolation("a message is not allowed in a session")

    def _on_stream(self) -> None:
        """Report a part of the peer's stream to the program."""
        state = self._state
        self._active_at = self._heard_at
        if state.is_discarding:
            state.inbox.discard()
        if state.inbox.ended or state.is_discarding or not self._acknowledgements.is_answer_due:
            state.to_send.set()
        self._acknowledgements.is_answer_due = True
        state.to_read.set()

    def _end_if_finished(self) -> None:
        """End the session once FINISHED was sent and received."""
        if self._finished_sent and self._finished_received:
            self._state.end(None)


async def report_violation(channel: Channel) -> None:
    """Tell the peer that it violated the protocol, and close the connection."""
    with suppress(ConnectionLost):
        await channel.send(Abort(Reason.PROTOCOL_VIOLATION, VIOLATION_TEXT).encode())
    await channel.close()
