"""Accept the connections in the backlog of a listener without waiting.

Each accept of a `trio.SocketListener` needs a turn of the trio loop. A turn costs as much CPU time
as the request head of the connection.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, Protocol, runtime_checkable

import trio

from .accepted_socket import AcceptedSocket, Socket

MAX_NOT_SENT: Final = 16 * 1024
"""Number of unsent bytes in the kernel at which a TCP socket is no longer writable, as in trio."""


@runtime_checkable
class BacklogListener(Protocol):
    """Listener of another class than `trio.SocketListener` that gives access to its socket."""

    @property
    def socket(self) -> trio.socket.SocketType:
        """The listening socket."""

    def accepted(self, sock: Socket) -> AcceptedSocket:
        """Return the connection of a socket that was accepted from the listening socket."""


class Backlog:
    """Backlog of a listener: established connections that are not accepted yet."""

    __slots__ = ("_accepted", "_socket")

    def __init__(
        self,
        sock: socket.socket,
        accepted: Callable[[Socket], AcceptedSocket] = AcceptedSocket,
    ) -> None:
        self._socket = sock
        self._accepted = accepted

    def fileno(self) -> int:
        """Return the descriptor of the listener."""
        return self._socket.fileno()

    def accept(self) -> AcceptedSocket:
        """Accept a connection.

        Raises BlockingIOError if no connection is available, and another OSError on failure.
        """
        accepted, _ = self._socket.accept()
        accepted.setblocking(False)
        # The options of the listening socket are not enough. A connection that was established
        # before they were set, such as under socket activation, would not have them.
        with suppress(OSError, AttributeError):  # a Unix socket, or a system without an option
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_NOT_SENT)
        return self._accepted(accepted)


@contextmanager
def open_backlog(listener: trio.abc.AsyncResource) -> Iterator[Backlog | None]:
    """Yield the backlog of a `trio.SocketListener` or `BacklogListener`, or None for another.

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
