"""Accept connections, and go on after every OSError."""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import trio

from ..transport.epoll_reader import EpollReader
from ..transport.socket_info import is_readable

logger = logging.getLogger("relay")

ACCEPT_PAUSE: Final = 0.1
"""Seconds to wait after a failed accept. A relay without free descriptors would spin otherwise."""

LOG_INTERVAL: Final = 1.0
"""Seconds between two log lines about failed accepts."""


class Accepting:
    """Handle of the tasks that accept connections."""

    def __init__(self, scope: trio.CancelScope) -> None:
        self._scope = scope
        self.finished = trio.Event()
        """Set once accepting has ended and every accepted connection is being served."""

    def stop(self) -> None:
        """Stop accepting; a connection whose accept has completed is still served."""
        self._scope.cancel()


Serve = Callable[[trio.abc.Stream], None]


async def accept(
    listeners: Sequence[trio.abc.Listener[Any]],
    serve: Serve,
    reader: EpollReader | None = None,
    errors: AcceptErrors | None = None,
    *,
    task_status: trio.TaskStatus[Accepting] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept connections until cancelled, and call ``serve`` with each; ``serve`` must not block.

    The listeners are closed at the end. The `Accepting` that ``task_status`` reports can also end
    this function. ``errors`` counts the failed accepts.
    """
    errors = errors or AcceptErrors()
    async with trio.open_nursery() as nursery:
        accepting = Accepting(nursery.cancel_scope)
        for listener in listeners:
            nursery.start_soon(accept_from, listener, serve, reader, errors)
        task_status.started(accepting)
    accepting.finished.set()


class AcceptErrors:
    """Count of failed accepts, and their rate-limited log."""

    def __init__(self) -> None:
        self.count = 0
        """Number of failed accepts."""
        self._quiet_until = -math.inf

    def add(self, error: OSError) -> None:
        """Count an error, and log it unless one was logged in the last `LOG_INTERVAL` seconds."""
        self.count += 1
        if trio.current_time() >= self._quiet_until:
            self._quiet_until = trio.current_time() + LOG_INTERVAL
            logger.warning("accept failed: %s", errno.errorcode.get(error.errno or 0, "?"))


async def accept_from(
    listener: trio.abc.Listener[Any],
    serve: Serve,
    reader: EpollReader | None,
    errors: AcceptErrors,
) -> None:
    """Accept connections from one listener."""
    async with listener:
        while True:
            try:
                await wait_acceptable(listener, reader)
                stream = await listener.accept()
            except OSError as error:
                # The process has no descriptor or memory left, or one connection failed. Pairs
                # go on, and clients in the backlog are accepted once resources are free again.
                errors.add(error)
                await trio.sleep(ACCEPT_PAUSE)
            else:
                serve(stream)


async def wait_acceptable(listener: trio.abc.Listener[Any], reader: EpollReader | None) -> None:
    """Let the epoll reader wait for a connection, if the listener has a socket.

    The epoll reader notices it at once. `trio.abc.Listener.accept` notices it only after the reader
    has stopped lingering, and then waits itself if another process took the connection.
    """
    listener = getattr(listener, "transport_listener", listener)  # a TLS listener has one
    socket = getattr(listener, "socket", None)
    if reader is None or not isinstance(socket, trio.socket.SocketType):
        return
    if not is_readable(socket.fileno()):  # often more than one connection is in the backlog
        with suppress(OSError):  # the epoll set is full
            await reader.wait_readable(socket.fileno())
