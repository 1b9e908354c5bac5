"""The state that a session shares with its connections."""

from __future__ import annotations

import secrets
from typing import Final

import trio

from .acknowledgements import Acknowledgements
from .errors import EndpointError
from .inbox import Inbox
from .messages import Abort
from .outbox import Outbox
from .signal import Signal

BUFFER: Final = 4 * 2**20
"""Maximum number of bytes that a session buffers until its peer acknowledges them."""

WINDOW: Final = 4 * 2**20
"""Maximum number of received bytes that a session buffers until its program consumes them."""


class SessionState:
    """State that a session shares with its connections."""

    def __init__(self) -> None:
        self.id = secrets.token_hex(3)
        """Random name of the session, for displays and logs."""
        self.outbox = Outbox(BUFFER)
        self.inbox = Inbox(WINDOW)
        self.to_send = Signal()
        """Set when there may be a message to send."""
        self.to_read = Signal()
        """Set when the program may be able to read."""
        self.to_write = Signal()
        """Set when the program may be able to write, and at each ACK of the peer."""
        self.is_connected = False
        self.is_discarding = False
        """True if the program has stopped reading. Received bytes then count as consumed."""
        self.has_finished = False
        """True once FINISHED was sent in any connection of the session."""
        self.acknowledgements = Acknowledgements(self.inbox)
        """Acknowledgements of the current connection."""
        self.abort: Abort | None = None
        """ABORT message to send; None if the session is not aborted."""
        self.error: EndpointError | None = None
        self.over = trio.Event()

    def end(self, error: EndpointError | None) -> None:
        """End the session. ``error`` is None if the session did not fail."""
        if not self.over.is_set():
            self.error = error
            self.over.set()
            self.is_connected = False
        for signal in (self.to_send, self.to_read, self.to_write):
            signal.set()

    def free(self) -> None:
        """Free the buffers after the end of the session.

        Exceptions and their tracebacks keep the state in reference cycles, and the garbage
        collector searches for these rarely.
        """
        self.inbox.free()
        self.outbox.free()

    def consume(self) -> None:
        """Wake the sending task if it must send or schedule an acknowledgement."""
        if self.acknowledgements.is_urgent():
            self.to_send.set()
