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
"""Bytes that a session keeps for its peer until they are acknowledged."""

WINDOW: Final = 4 * 2**20
"""Bytes that a session buffers for its program."""


class SessionState:
    """State that a session shares with its connections."""

    def __init__(self) -> None:
        self.id = secrets.token_hex(3)
        """Name of the session."""
        self.outbox = Outbox(BUFFER)
        self.inbox = Inbox(WINDOW)
        self.to_send = Signal()
        """Set if there may be a message to send."""
        self.to_read = Signal()
        """Set if the program may have bytes to read."""
        self.to_write = Signal()
        """Set if the program may have room to write, and whenever the peer acknowledges."""
        self.is_connected = False
        self.is_discarding = False
        """True if the program reads no more, so that all received bytes count as consumed."""
        self.has_finished = False
        """True once FINISHED was sent, in any connection."""
        self.acknowledgements = Acknowledgements(self.inbox)
        """Acknowledgements of the current connection."""
        self.abort: Abort | None = None
        """Message that ends the session."""
        self.error: EndpointError | None = None
        self.over = trio.Event()

    def end(self, error: EndpointError | None) -> None:
        """End the session, with an error or without."""
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
        """Wake the task that sends acknowledgements, if it has something to do."""
        if self.acknowledgements.is_urgent():
            self.to_send.set()
