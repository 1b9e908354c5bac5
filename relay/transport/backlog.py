"""Accept connections from the backlog of a listener, without waiting.

Each accept of a `trio.SocketListener` needs a turn of the trio loop. This turn costs as much CPU
time as parsing the request head of the connection.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, Protocol, runtime_checkable

import trio

from .accepted_socket import AcceptedSocket, Socket

MAX_NOT_SENT: Final = 16 * 1024
"""The kernel reports a TCP socket as writable only while it has fewer unsent bytes than this.

trio sets the same number for its own sockets.
"""


@runtime_checkable
class BacklogListener(Protocol):
    """Interface of a listener that exposes its socket, as `trio.SocketListener` does."""

    @property
    def socket(self) -> trio.socket.SocketType:
        """The listening socket."""

    def accepted(self, sock: Socket) -> AcceptedSocket:
        """Return the connection for a socket that the listener has accepted."""


class Backlog:
    """Backlog of a listener: established connections that have not been accepted yet."""

    __slots__ = ("_accepted", "_socket")

    def __init__(
        self,
        sock: socket.socket,
        accepted: Callable[[Socket], AcceptedSocket] = AcceptedSocket,
    ) -> None:
        self._socket = sock
        self._accepted = accepted

    def fileno(self) -> int:
        """Return the descriptor of the listening socket."""
        return self._socket.fileno()

    def accept(self) -> AcceptedSocket:
        """Accept a connection.

        Raises BlockingIOError if no connection is available, and another OSError on failure.
        """
        accepted, _ = self._socket.accept()
        accepted.setblocking(False)
        # It would not be enough to set these options on the listening socket. A connection inherits
        # them only if they were set before it was established, and with socket activation, it may
        # be older than this process.
        with suppress(OSError, AttributeError):  # a Unix socket, or a system without an option
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_NOT_SENT)
        return self._accepted(accepted)


@contextmanager
def open_backlog(listener: trio.abc.AsyncResource) -> Iterator[Backlog | None]:
    """Yield the backlog of a listener, or None if the listener does not expose its socket.

    The listener must remain open during the with block, because the backlog uses its descriptor.
    """
    if isinstance(listener, trio.SocketListener | BacklogListener):
        accepted = getattr(listener, "accepted", AcceptedSocket)
        sock = socket.socket(fileno=listener.socket.fileno())
        try:
            sock.setblocking(False)
            yield Backlog(sock, accepted)
        finally:
            sock.detach()  # the listener closes the descriptor
    else:
        yield None
