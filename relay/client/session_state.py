"""The state of a session, and the rules for its messages. The time is an argument."""

from __future__ import annotations

import math
import secrets
from typing import Final

import trio

from .channel import Channel
from .errors import ConnectionLost, EndpointError, PeerAborted, ProtocolViolation
from .inbox import Inbox
from .messages import Abort, Ack, Data, End, Finished, Message, Ping, Pong, Resume
from .outbox import Outbox

BUFFER: Final = 4 * 2**20  # bytes buffered until the peer acknowledges them
WINDOW: Final = 4 * 2**20  # received bytes buffered until the program consumes them

ACK_SIZE: Final = 256 * 1024  # number of consumed bytes that are acknowledged at once
ACK_DELAY: Final = 0.1  # seconds until an ACK for fewer bytes
REPEAT_DELAY: Final = 1.0  # seconds from data of the peer to an ACK, if no other message is sent

ACTIVE: Final = 30.0  # seconds for which a session is active after stream data
ACTIVE_SILENCE: Final = 1.5  # seconds of silence until PING in an active session
IDLE_SILENCE: Final = 15.0  # seconds of silence until PING in another session
PONG_TIMEOUT: Final = 3.5  # seconds from PING until the connection counts as lost

DATA_TYPE: Final = bytes((Data.TYPE,))


class SessionState:
    """State that a session shares with its connections, one after the other.

    A message is chosen only when it can be sent. So on a slow network, only data is delayed, and
    each ACK covers all bytes that are consumed by then.
    """

    def __init__(self) -> None:
        self.id = secrets.token_hex(3)  # random name for displays and logs
        self.outbox, self.inbox = Outbox(BUFFER), Inbox(WINDOW)
        self.changed = trio.lowlevel.ParkingLot()  # tasks of the program that wait for a change
        self.pause = trio.CancelScope()  # scope in which the sending task waits
        self.silence = trio.CancelScope()  # scope in which the receiving task waits
        self.channel: Channel | None = None  # None while the session has no connection
        self.is_discarding = False  # True if received bytes count as consumed
        self.has_finished = False  # True once FINISHED was sent in any connection
        self.pending_abort: tuple[Abort, EndpointError | None] | None = None  # see `abort`
        self.error: EndpointError | None = None
        self.over = trio.Event()
        self._begin(0.0)

    def connect(self, channel: Channel, resume: Resume, now: float) -> None:
        """Continue in a new connection. Raises ProtocolViolation if RESUME does not fit."""
        self.outbox.resume(resume.received, resume.window)
        self._begin(now)
        self.channel = channel
        self.on_consumed(now)  # an earlier ACK may be lost

    def _begin(self, now: float) -> None:
        self._acknowledged = 0  # position of the last ACK in this connection
        self._ack_at = self._repeat_at = math.inf
        self._ping_is_due = self._pong_is_due = self._is_pinged = self._is_stalled = False
        self._finished_sent = self._finished_received = False
        self._heard_at = self._active_at = now

    def abort(self, message: Abort, error: EndpointError | None = None) -> None:
        """Send a message, and end the session with an error, or None if it did not fail."""
        self.pending_abort = message, error
        self.wake()

    def end(self, error: EndpointError | None) -> None:
        """End the session. ``error`` is None if the session did not fail."""
        if not self.over.is_set():
            self.error = error
            self.over.set()
            self.channel = None
        self.wake()
        self.changed.unpark_all()

    def wake(self, time: float = -math.inf) -> None:
        """Wake the sending task at a time, unless it wakes earlier."""
        if time < self.pause.deadline:  # noqa: PLR1730 - setting a deadline takes time
            self.pause.deadline = time

    @property
    def next_time(self) -> float:
        """Time at which the sending task must send an ACK."""
        return min(self._ack_at, self._repeat_at)

    def next_message(self, now: float) -> bytes | None:
        """Return the next message to send, and count it as sent; None if there is none."""
        message = self._choose(now)
        if message is not None:
            self._repeat_at = math.inf
        return message

    def _choose(self, now: float) -> bytes | None:
        if self.pending_abort is not None:
            message, error = self.pending_abort
            self.end(error)
            return message.encode()
        if self._pong_is_due:
            self._pong_is_due = False
            return Pong().encode()
        if now >= self.next_time:
            self._ack_at, self._acknowledged = math.inf, self.inbox.consumed
            return Ack(self._acknowledged).encode()
        if self._ping_is_due:
            self._ping_is_due = False
            return Ping().encode()
        with self.outbox.take_data() as data:
            if data or self.outbox.take_end():
                self._stay_active(now)
                return b"".join((DATA_TYPE, data)) if data else End().encode()
        if self.inbox.ended and self.outbox.is_acknowledged and not self._finished_sent:
            self._finished_sent = self.has_finished = True
            if self._finished_received:
                self.end(None)
            return Finished().encode()
        return None

    def receive(self, message: Message, now: float) -> None:
        """Process a message of the peer. Raises ProtocolViolation if it is not allowed."""
        self._heard_at = now
        if self._is_pinged:
            self._is_pinged = False
            self.silence.deadline = self.silence_end
        if isinstance(message, (Data, End)):
            self._on_stream(message, now)
        elif isinstance(message, Ack):
            self.outbox.acknowledge(message.received)
            self.changed.unpark_all()
            self.wake()
        elif isinstance(message, Ping):
            self._pong_is_due = True
            self.wake()
        elif isinstance(message, Finished):
            if not (self.outbox.ended and self.inbox.ended):
                raise ProtocolViolation("FINISHED before the end of both streams")
            self._finished_received = True
            if self._finished_sent:
                self.end(None)
        elif isinstance(message, Abort):
            self.end(PeerAborted(message.reason, message.text))
        elif not isinstance(message, Pong):
            raise ProtocolViolation("a message is not allowed in a session")

    def _on_stream(self, message: Data | End, now: float) -> None:
        if isinstance(message, Data):
            self.inbox.receive(message.data)
        else:
            self.inbox.end()
            self.wake()
        self._stay_active(now)
        if self._repeat_at == math.inf:
            self._repeat_at = now + REPEAT_DELAY
            self.wake(self._repeat_at)
        if self.is_discarding:
            self.inbox.discard()
        self.on_consumed(now)
        self.changed.unpark_all()

    def on_consumed(self, now: float) -> None:
        """Schedule an ACK if the program has consumed bytes or the end of the stream."""
        inbox = self.inbox
        if size := inbox.consumed - self._acknowledged:
            is_urgent = size >= ACK_SIZE or inbox.consumed > inbox.consumed_bytes
            self._ack_at = min(self._ack_at, now if is_urgent else now + ACK_DELAY)
            self.wake(self._ack_at)

    @property
    def silence_end(self) -> float:
        """Time until which the peer may be silent."""
        is_active = self._heard_at < self._active_at + ACTIVE
        return self._heard_at + (ACTIVE_SILENCE if is_active else IDLE_SILENCE)

    def on_silence(self, now: float) -> float:
        """Send PING if the peer is silent. Return the time until which it may stay silent.

        Raises ConnectionLost if the peer has not answered the last PING, or after `on_stall`.
        """
        if self._is_stalled:
            raise ConnectionLost("a message was not sent in time")
        if self._is_pinged:
            raise ConnectionLost("the peer was silent for too long")
        if now < self.silence_end:
            return self.silence_end
        self._is_pinged = self._ping_is_due = True
        self.wake()
        return now + PONG_TIMEOUT

    def on_stall(self) -> None:
        """Make the receiving task end the connection, because a message was left out."""
        self._is_stalled = True
        self.silence.cancel()

    def _stay_active(self, now: float) -> None:
        """Mark the session as active. If it was idle, shorten the permitted silence."""
        if now >= self._active_at + ACTIVE and not self._is_pinged:
            self.silence.deadline = min(self.silence.deadline, now + ACTIVE_SILENCE)
        self._active_at = now
