"""Accept connections, whatever happens."""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio

__all__ = ["accept"]

logger = logging.getLogger("relay")

ACCEPT_PAUSE: Final = 0.1
"""Seconds to wait after a failed accept, so that a relay out of descriptors does not spin."""

ACCEPT_QUIET: Final = 1.0
"""Seconds between two lines in the log about that."""

Serve = Callable[[trio.abc.Stream], None]


async def accept(
    listeners: Sequence[trio.abc.Listener[Any]],
    serve: Serve,
    *,
    task_status: trio.TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept connections until cancelled, and give each to serve, which must not wait.

    Closes the listeners at the end. What it starts with is the scope by which to cancel it.
    """
    async with trio.open_nursery() as nursery:
        for listener in listeners:
            nursery.start_soon(accept_from, listener, serve)
        task_status.started(nursery.cancel_scope)


async def accept_from(listener: trio.abc.Listener[Any], serve: Serve) -> None:
    """Accept connections from one listener."""
    quiet_until = -math.inf
    async with listener:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                # Out of descriptors or memory, or a fault of one connection: pairs go on, and
                # what waits in the backlog is accepted when there is room again.
                if trio.current_time() >= quiet_until:
                    quiet_until = trio.current_time() + ACCEPT_QUIET
                    logger.warning("accept failed: %s", errno.errorcode.get(error.errno or 0, "?"))
                await trio.sleep(ACCEPT_PAUSE)
            else:
                serve(stream)
