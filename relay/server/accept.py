"""Accept connections, whatever happens."""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio

__all__ = ["Accepting", "accept"]

logger = logging.getLogger("relay")

ACCEPT_PAUSE: Final = 0.1
"""Seconds to wait after a failed accept, so that a relay out of descriptors does not spin."""

LOG_INTERVAL: Final = 1.0
"""Seconds between two lines in the log about that."""


class Accepting:
    """Tasks that accept connections."""

    def __init__(self, scope: trio.CancelScope) -> None:
        self._scope = scope
        self.finished = trio.Event()
        """Set when nothing is accepted any more, and whoever was accepted is being served."""

    def stop(self) -> None:
        """Have nothing more accepted, but for what is being accepted in this moment."""
        self._scope.cancel()


Serve = Callable[[trio.abc.Stream], None]


async def accept(
    listeners: Sequence[trio.abc.Listener[Any]],
    serve: Serve,
    *,
    task_status: trio.TaskStatus[Accepting] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept connections until cancelled, and give each to serve, which must not wait.

    Closes the listeners at the end. What it starts with can end it, too.
    """
    complain = AcceptErrorLog()
    async with trio.open_nursery() as nursery:
        accepting = Accepting(nursery.cancel_scope)
        for listener in listeners:
            nursery.start_soon(accept_from, listener, serve, complain)
        task_status.started(accepting)
    accepting.finished.set()


class AcceptErrorLog:
    """Says in the log, now and then, that connections cannot be accepted."""

    def __init__(self) -> None:
        self._quiet_until = -math.inf

    def __call__(self, error: OSError) -> None:
        """Say so, unless that was said within `LOG_INTERVAL`."""
        if trio.current_time() >= self._quiet_until:
            self._quiet_until = trio.current_time() + LOG_INTERVAL
            logger.warning("accept failed: %s", errno.errorcode.get(error.errno or 0, "?"))


async def accept_from(
    listener: trio.abc.Listener[Any], serve: Serve, complain: AcceptErrorLog
) -> None:
    """Accept connections from one listener."""
    async with listener:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                # Out of descriptors or memory, or a fault of one connection: pairs go on, and
                # what waits in the backlog is accepted when there is room again.
                complain(error)
                await trio.sleep(ACCEPT_PAUSE)
            else:
                serve(stream)
