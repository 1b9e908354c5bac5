"""Exchange the messages of a session over one connection, until either of them ends."""

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
"""Seconds for which a session counts as active after stream data was sent or received."""

ACTIVE_SILENCE: Final = 1.5
"""Seconds of silence after which an endpoint sends PING in an active session."""

IDLE_SILENCE: Final = 15.0
"""Seconds of silence after which an endpoint sends PING in a session that is not active."""

PONG_TIMEOUT: Final = 3.5
"""Seconds of silence after PING after which the connection counts as lost."""

REPORT_TIMEOUT: Final = 2.0
"""Maximum time, in seconds, to report a protocol violation to the peer."""

VIOLATION_TEXT: Final = "the peer violated the endpoint protocol"

DATA_TYPE: Final = bytes((Data.TYPE,))


class Transfer:
    """Connection of a session after both endpoints have sent RESUME.

    One task sends. It chooses the next message only when it can send it. So on a slow network, only
    data is delayed, and each ACK covers all bytes that are consumed by then. A second task
    receives, and checks that the peer is not silent for too long.
    """

    def __init__(self, state: SessionState, channel: Channel, resume: Resume) -> None:
        """Continue the session. Raises ProtocolViolation if ``resume`` does not fit the session."""
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
        """Send and receive until the session is over.

        Raises ConnectionLost if the connection ends before the session is over.
        """
        lost: ConnectionLost | None = None

        async def run(function: Callable[[], Awaitable[None]]) -> None:
            nonlocal lost
            try:
                await function()
            except ConnectionLost as error:
                lost = lost or error
                nursery.cancel_scope.cancel()
            except ProtocolViolation as error:
                # The sending task continues, because it must not leave out an encrypted message.
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
                # The peer may have cut the connection before ABORT was sent. The session must still
                # end with this error.
                self._state.end(self._violation)
            elif lost is not None and not self._state.over.is_set():
                raise lost
        finally:
            del lost  # no reference cycle keeps the connection with its queue

    async def _send(self) -> None:
        """Send messages until the session is over, then close the connection."""
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
        """Return the next message to send; None if there is none."""
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
        """Receive messages. Raises ConnectionLost if the peer is silent for too long."""
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
        """Return the seconds of silence after which this endpoint sends PING."""
        is_active = self._heard_at < self._active_at + ACTIVE
        return ACTIVE_SILENCE if is_active else IDLE_SILENCE

    def _stay_active(self, now: float) -> None:
        """Mark the session as active. If it was idle, shorten the permitted silence."""
        if now >= self._active_at + ACTIVE:
            self._waiting.deadline = min(self._waiting.deadline, now + ACTIVE_SILENCE)
        self._active_at = now

    def _handle(self, message: Message) -> None:
        """Process a message. Raises ProtocolViolation if it is not allowed."""
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
        """Process stream data or its end: mark the session as active and wake the tasks."""
        state = self._state
        self._active_at = self._heard_at
        if state.is_discarding:
            state.inbox.discard()
        if state.inbox.ended or state.is_discarding or not self._acknowledgements.is_answer_due:
            state.to_send.set()
        self._acknowledgements.is_answer_due = True
        state.to_read.set()

    def _end_if_finished(self) -> None:
        """End the session if FINISHED was both sent and received."""
        if self._finished_sent and self._finished_received:
            self._state.end(None)


async def report_violation(channel: Channel) -> None:
    """Report a protocol violation to the peer, and close the connection."""
    with suppress(ConnectionLost):
        await channel.send(Abort(Reason.PROTOCOL_VIOLATION, VIOLATION_TEXT).encode())
    await channel.close()
