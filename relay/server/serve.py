"""The public face: `serve_relay` and the handle that it starts with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

import trio

from ..events import Observer
from ..pairing.sweeper import sweep
from ..settings import RelaySettings
from ..statistics import OpenPair, RelayStatistics
from ..transport.epoll_reader import EpollReader, open_epoll_reader
from .accept import accept
from .connection import serve_connection
from .state import RelayState

__all__ = ["RelayHandle", "serve_relay"]

DEFAULT_SETTINGS: Final = RelaySettings()


class Shutdown:
    """Request to stop a relay, and its completion. The first request decides how it stops."""

    def __init__(self) -> None:
        self.requested = trio.Event()
        self.accepting = True
        """True if connections are still accepted while the relay stops."""
        self.done = trio.Event()

    def ask(self, *, accepting: bool) -> None:
        """Request the stop, unless that was done before."""
        if not self.requested.is_set():
            self.accepting = accepting
            self.requested.set()


class RelayHandle:
    """A running relay, as `serve_relay` reports it."""

    def __init__(self, state: RelayState, address: tuple[str, int], shutdown: Shutdown) -> None:
        self._relay = state
        self._shutdown = shutdown
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
        """Return a snapshot of what the relay does now, and of what it did since its start."""
        return self._relay.statistics()

    @property
    def max_connections(self) -> int:
        """The limit of admitted connections that is in force; 0 is none."""
        return self._relay.admission.max_connections

    def open_pairs(self) -> list[OpenPair]:
        """Return a snapshot of each pair that is open now, joined or waiting, oldest first."""
        return self._relay.open_pairs(trio.current_time())

    def reload_token(self) -> bool:
        """Read ``token_file`` again; return whether there is one.

        Raises OSError or ValueError, saying what was wrong, and keeps the old token, if that fails.
        """
        return self._relay.admission.reload_token()

    async def stop(self, *, close_listeners: bool = False) -> None:
        """Stop gracefully: refuse new sides with 503, close all others with 1001; return then.

        The others are closed after ``drain_delay``, those that wait for a peer first, between
        frames and behind all that was received for them. A client that does not answer delays it
        by no more than ``close_timeout``. `serve_relay` then returns. If cancelled, the relay stops
        all the same. A further call waits for the same end; its argument has no effect.

        With ``close_listeners``, nothing is accepted any more, and ``drain_delay`` is skipped: for
        a listening socket that outlives this relay, so that who comes waits for the next one.
        Whoever was accepted before gets a place, and is then closed as the others.
        """
        self._shutdown.ask(accepting=not close_listeners)
        await self._shutdown.done.wait()


async def serve_relay(  # noqa: PLR0913 - all by name, each for a use of its own
    *,
    host: str = "0.0.0.0",  # noqa: S104 - a relay that only this machine reaches joins nobody
    port: int = 8765,
    settings: RelaySettings = DEFAULT_SETTINGS,
    listeners: Iterable[trio.abc.Listener[Any]] | None = None,
    observer: Observer | None = None,
    task_status: trio.TaskStatus[RelayHandle] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a relay until it is stopped by its handle or cancelled.

    It listens on host and port (0 lets the system choose), or on the given listeners instead, of
    any kind, which it closes at the end; what they accept is for the relay alone to close. Started
    with `trio.Nursery.start`, it reports a `RelayHandle` as soon as it accepts connections. The
    observer, if any, is shown its events.

    Cancelling it stops it as `RelayHandle.stop` does, without ``drain_delay``: clients get 1001
    ``relay stopping``, and those that do not answer hold it up for ``close_timeout`` at most.

    Raises OSError if host does not resolve, the port cannot be bound or no descriptor is left, and
    OSError or ValueError if ``token_file`` cannot be read or holds no token. Raises ValueError
    if there are no listeners among the given ones.
    """
    given: list[trio.abc.Listener[Any]] = list(listeners or ())
    if listeners is not None and not given:
        raise ValueError("listeners is empty; leave it out to listen on host and port")
    opened: Sequence[trio.abc.Listener[Any]] = given
    shutdown = Shutdown()
    try:
        state = RelayState(settings, observer)
        if listeners is None:
            opened = await trio.open_tcp_listeners(port, host=host)
        handle = RelayHandle(state, bound_address(opened[0]), shutdown)
        with open_epoll_reader() as state.epoll_reader:
            await run_relay(state, opened, shutdown, lambda: task_status.started(handle))
    finally:
        for listener in opened:
            await trio.aclose_forcefully(listener)
        shutdown.done.set()


async def run_relay(
    state: RelayState,
    listeners: Sequence[trio.abc.Listener[Any]],
    shutdown: Shutdown,
    started: Callable[[], None],
) -> None:
    """Run a relay on its listeners until it is asked to stop or cancelled."""
    over, settings = trio.Event(), state.settings
    async with trio.open_nursery() as hosts:
        connections = await hosts.start(connection_nursery, state.epoll_reader, over)
        try:
            async with trio.open_nursery() as nursery:
                serve = partial(start_connection, state, connections)
                accepting = await nursery.start(accept, listeners, serve)
                nursery.start_soon(sweep, state.pairs, state.admission, settings)
                started()
                await shutdown.requested.wait()
                state.drain(refusing=shutdown.accepting)
                if not shutdown.accepting:
                    accepting.stop()
                elif settings.drain_delay:
                    await trio.sleep(settings.drain_delay)
                with trio.move_on_after(settings.close_timeout):
                    await state.stop_waiting()
                    state.stop()
                    if not shutdown.accepting:
                        await accepting.finished.wait()
                    await state.wait_left(doors=not shutdown.accepting)
                nursery.cancel_scope.cancel()
        finally:
            over.set()
            state.drain(refusing=True)
            state.stop()
            state.drop()


def start_connection(state: RelayState, connections: trio.Nursery, stream: trio.abc.Stream) -> None:
    """Have a new connection served in a task of its own.

    It counts before that task begins, so that a relay that stops does not overlook it.
    """
    connections.start_soon(serve_connection, state, connections, stream, state.open_scope())


async def connection_nursery(
    reader: EpollReader | None, over: trio.Event, *, task_status: trio.TaskStatus[trio.Nursery]
) -> None:
    """Keep a nursery for connections open until over is set and its last connection is done.

    It is shielded: a cancelled relay ends its connections one by one, each within a bounded time,
    and not by tearing them down.
    """
    # `start` does not hand over a task that was cancelled before; shielded, it would never end.
    await trio.lowlevel.checkpoint_if_cancelled()
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            if reader is not None:
                nursery.start_soon(reader.run)
            async with trio.open_nursery() as connections:
                task_status.started(connections)
                await over.wait()
            nursery.cancel_scope.cancel()


def bound_address(listener: trio.abc.Listener[Any]) -> tuple[str, int]:
    """Return the host and port of a listener on TCP, also under TLS; ("", 0) for any other."""
    listener = getattr(listener, "transport_listener", listener)  # that of TLS has one
    name = listener.socket.getsockname() if isinstance(listener, trio.SocketListener) else None
    return (name[0], name[1]) if isinstance(name, tuple) else ("", 0)
