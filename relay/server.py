"""The public face: `serve_relay` and the handle that it starts with."""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import trio

from .connection import Relay, serve_connection
from .settings import RelaySettings
from .sweeper import sweep

__all__ = ["RelayHandle", "RelayStatistics", "serve_relay"]

logger = logging.getLogger("relay")

DEFAULT_SETTINGS: Final = RelaySettings()

ACCEPT_PAUSE: Final = 0.1
"""Seconds to wait after a failed accept, so that a relay out of descriptors does not spin."""


ACCEPT_QUIET: Final = 1.0
"""Seconds between two lines in the log about that."""


@dataclass(frozen=True, slots=True)
class RelayStatistics:
    """A snapshot of a relay: counts at one moment."""

    pairs: int
    """Codes present, waiting or joined."""
    waiting: int
    """Codes with one side, which waits for the other."""
    connections: int
    """Connections open, those still at the door or closing among them."""


class RelayHandle:
    """A running relay, as `serve_relay` reports it."""

    def __init__(
        self, relay: Relay, address: tuple[str, int], stop: trio.Event, stopped: trio.Event
    ) -> None:
        self._relay = relay
        self._stop = stop
        self._stopped = stopped
        self._host, self._port = address

    @property
    def host(self) -> str:
        """The address that was bound; "" if the first listener is not on TCP."""
        return self._host

    @property
    def port(self) -> int:
        """The port that was bound; 0 if the first listener is not on TCP."""
        return self._port

    def statistics(self) -> RelayStatistics:
        """Return a snapshot of what the relay does now."""
        pairs = self._relay.pairs
        return RelayStatistics(len(pairs), pairs.waiting, len(self._relay.connections))

    async def stop(self) -> None:
        """Close every side with 1001 ``relay stopping``; return when all are closed.

        `serve_relay` then returns. A client that does not answer delays it by no more than
        ``close_timeout``. May be called again; if cancelled, the relay stops all the same.
        """
        self._stop.set()
        await self._stopped.wait()


async def serve_relay(
    *,
    host: str = "0.0.0.0",  # noqa: S104 - a relay that only this machine reaches joins nobody
    port: int = 8765,
    settings: RelaySettings = DEFAULT_SETTINGS,
    listeners: Sequence[trio.abc.Listener[Any]] | None = None,
    task_status: trio.TaskStatus[RelayHandle] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a relay until it is stopped by its handle or cancelled.

    It listens on host and port (0 lets the system choose), or on the given listeners instead, of
    any kind, which it closes at the end. Started with `trio.Nursery.start`, it reports a
    `RelayHandle` as soon as it accepts connections.

    Cancelling it stops it as `RelayHandle.stop` does: clients get 1001 ``relay stopping``, and
    those that do not answer hold it up for ``close_timeout`` at most.

    Raises OSError if host does not resolve or the port cannot be bound.
    """
    if listeners is None:
        listeners = await trio.open_tcp_listeners(port, host=host)
    relay = Relay(settings)
    stop, over, stopped = trio.Event(), trio.Event(), trio.Event()
    try:
        handle = RelayHandle(relay, bound_address(listeners[0]), stop, stopped)
        async with trio.open_nursery() as hosts:
            connections = await hosts.start(host_connections, over)
            try:
                async with trio.open_nursery() as nursery:
                    for listener in listeners:
                        nursery.start_soon(accept_from, listener, relay, connections)
                    nursery.start_soon(
                        partial(
                            sweep,
                            relay.pairs,
                            interval=settings.sweep_interval,
                            ttl=settings.pair_ttl,
                        )
                    )
                    task_status.started(handle)
                    await stop.wait()
                    nursery.cancel_scope.cancel()
            finally:
                relay.stop()
                over.set()
    finally:
        for listener in listeners:
            await trio.aclose_forcefully(listener)
        stopped.set()


async def host_connections(over: trio.Event, *, task_status: trio.TaskStatus[trio.Nursery]) -> None:
    """Keep a nursery for connections open until over is set and its last connection is done.

    It is shielded: a cancelled relay ends its connections one by one, each within a bounded time,
    and not by tearing them down.
    """
    # `start` does not hand over a task that was cancelled before; shielded, it would never end.
    await trio.lowlevel.checkpoint_if_cancelled()
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as connections:
            task_status.started(connections)
            await over.wait()


async def accept_from(
    listener: trio.abc.Listener[Any], relay: Relay, connections: trio.Nursery
) -> None:
    """Accept connections until cancelled, whatever happens, and close the listener."""
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
                connections.start_soon(serve_connection, relay, stream)


def bound_address(listener: trio.abc.Listener[Any]) -> tuple[str, int]:
    """Return the host and port of a listener on TCP, also under TLS; ("", 0) for any other."""
    if isinstance(listener, trio.SSLListener):
        listener = listener.transport_listener
    name = listener.socket.getsockname() if isinstance(listener, trio.SocketListener) else None
    return (name[0], name[1]) if isinstance(name, tuple) else ("", 0)
