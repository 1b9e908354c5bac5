"""Accept connections, and continue after every OSError."""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio

from ..transport.accepted_socket import Accepted
from ..transport.backlog import Backlog, open_backlog
from ..transport.epoll_reader import EpollReader

logger = logging.getLogger("relay")

ACCEPT_PAUSE: Final = 0.1
"""Pause, in seconds, after a failed accept. Without the pause, a relay that has run out of
descriptors would retry in a busy loop."""

MAX_BURST: Final = 16
"""Maximum number of connections accepted from one listener before other tasks run."""

LOG_INTERVAL: Final = 1.0
"""Minimum time, in seconds, between two log lines about failed accepts."""


class Accepting:
    """Handle of the tasks that accept connections."""

    def __init__(self, scope: trio.CancelScope) -> None:
        self._scope = scope
        self.finished = trio.Event()
        """Event that is set once accepting has ended and each accepted connection has a task."""

    def stop(self) -> None:
        """Stop accepting. Connections that are already accepted are still served."""
        self._scope.cancel()


Serve = Callable[[Accepted], None]


async def accept(
    listeners: Sequence[trio.abc.Listener[Any]],
    serve: Serve,
    reader: EpollReader | None = None,
    errors: AcceptErrors | None = None,
    *,
    task_status: trio.TaskStatus[Accepting] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept connections until cancelled, and pass each of them to ``serve``, which must not block.

    ``task_status`` reports an `Accepting`. Its method `stop` also ends this function. The listeners
    are closed before the function returns. With a ``reader``, the connections in the backlog of a
    socket listener are accepted in bursts, instead of one per turn of the trio loop. ``errors``
    counts failed accepts.
    """
    errors = errors or AcceptErrors()
    async with trio.open_nursery() as nursery:
        accepting = Accepting(nursery.cancel_scope)
        for listener in listeners:
            nursery.start_soon(accept_from, listener, serve, reader, errors)
        task_status.started(accepting)
    accepting.finished.set()


class AcceptErrors:
    """Counter of failed accepts, which also logs them at a limited rate."""

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
    """Accept connections from one listener until cancelled, then close the listener."""
    async with listener:
        with open_backlog(listener) as backlog:
            while True:
                try:
                    if backlog is not None and reader is not None:
                        while await accept_available(backlog, serve, reader):
                            pass
                    serve(await listener.accept())
                except OSError as error:
                    # The process is out of descriptors or memory, or one connection failed. Pairs
                    # go on, and new connections wait in the backlog until resources are free.
                    errors.add(error)
                    await trio.sleep(ACCEPT_PAUSE)


async def accept_available(backlog: Backlog, serve: Serve, reader: EpollReader) -> bool:
    """Accept up to `MAX_BURST` connections from a backlog. If none is left, wait for one.

    Return False if an accept failed, or if the epoll set is full. The caller must then call the
    ``accept`` method of the listener, which skips connections that have already failed.
    """
    try:
        for _ in range(MAX_BURST):
            serve(backlog.accept())
    except BlockingIOError:
        try:
            await reader.wait_readable(backlog.fileno())
        except OSError:
            return False
    except OSError:
        return False
    else:
        await trio.lowlevel.checkpoint()
    return True
