"""Run a relay: `serve_relay`, and the handle that it reports.

`run_relay` runs a relay in two nested nurseries. The inner nursery runs the accept loops and the
sweeper. The outer nursery runs the task `connection_nursery`, which is shielded from cancellation.
In a nursery of its own, this task runs the epoll reader and the tasks of the connections.

When the relay is stopped or cancelled, the inner nursery ends first, while the connection tasks
still run. Each of them must send its client a close frame and wait for the closing handshake, which
a cancelled task could not do. shutdown.py describes the phases of a shutdown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final

import trio

from ..events import Observer
from ..pairing.sweeper import sweep
from ..settings import RelaySettings
from ..transport.accepted_socket import Accepted
from ..transport.epoll_reader import EpollReader, open_epoll_reader
from .accept import accept
from .connection import Connection
from .shutdown import stop_at_once, stop_gracefully
from .state import RelayState
from .statistics import OpenPair, RelayStatistics

DEFAULT_SETTINGS: Final = RelaySettings()


class RelayHandle:
    """Handle of a running relay.

    Call all methods from the thread of the relay. Only `stop` waits, so only `stop` can be
    cancelled.
    """

    def __init__(self, state: RelayState, address: tuple[str, int]) -> None:
        self._state = state
        self._host, self._port = address

    @property
    def host(self) -> str:
        """Address of the first listener; "" if it is not on TCP."""
        return self._host

    @property
    def port(self) -> int:
        """Port of the first listener; 0 if it is not on TCP."""
        return self._port

    def statistics(self) -> RelayStatistics:
        """Take a snapshot of the relay.

        Returns:
            The current state, and the counters since the start.
        """
        return self._state.statistics()

    @property
    def max_connections(self) -> int:
        """Effective limit on admitted connections; 0 means no limit."""
        return self._state.admission.max_connections

    def open_pairs(self) -> list[OpenPair]:
        """Take a snapshot of the open pairs.

        Returns:
            One item for each waiting or joined pair, the oldest pair first.
        """
        return self._state.open_pairs(trio.current_time())

    def hash_code(self, code: str) -> str:
        """Return the hash that identifies a code in events and in the header Arc-Relay-Pair.

        Args:
            code: The code, without percent-encoding.

        Returns:
            Ten hexadecimal digits. After a restart of the relay, the code has another hash, because
            the key of the hash is random.
        """
        return self._state.hash_code(code)

    def reload_token(self) -> bool:
        """Read ``token_file`` again. If the file cannot be used, the old token stays valid.

        Returns:
            True if the relay has a token file.

        Raises:
            OSError: The file cannot be read.
            ValueError: The file does not contain exactly one token.
        """
        return self._state.reload_token()

    async def stop(self, *, close_listeners: bool = False) -> None:
        """Stop gracefully, and return when the relay has ended.

        For ``drain_delay``, the relay refuses new sides with 503. It then closes every side with
        1001, beginning with the sides that wait for a peer. Before its close frame, a side gets all
        data that the relay has received for it. A client that does not answer delays the end by at
        most ``close_timeout``. Finally, `serve_relay` returns.

        Only the arguments of the first call have an effect; further calls wait for the same end.
        Cancelling a call does not undo the stop.

        Args:
            close_listeners: True to stop accepting immediately, without ``drain_delay``. Pass True
                if the listening socket outlives the relay, so that new clients wait in the backlog
                of the socket for the next relay. Connections accepted earlier are still admitted,
                and then closed with 1001.
        """
        self._state.request_stop(close_listeners=close_listeners)
        await self._state.ended.wait()


async def serve_relay(  # noqa: PLR0913 - all arguments are keywords
    *,
    host: str = "0.0.0.0",  # noqa: S104 - clients on other machines must reach the relay
    port: int = 8765,
    settings: RelaySettings = DEFAULT_SETTINGS,
    listeners: Iterable[trio.abc.Listener[Any]] | None = None,
    observer: Observer | None = None,
    task_status: trio.TaskStatus[RelayHandle] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a relay until `RelayHandle.stop` is called, or until this call is cancelled.

    Cancellation stops the relay as `RelayHandle.stop` does, but without ``drain_delay``. Every side
    is closed with 1001. Clients that do not answer delay the end by at most ``close_timeout``.

    Args:
        host: Address or name to listen on.
        port: Port to listen on; 0 lets the system choose a port.
        settings: Settings of the relay.
        listeners: Listeners of any kind, which replace ``host`` and ``port``. The relay closes the
            listeners and the streams that they accept.
        observer: Receiver of the events of the relay.
        task_status: Reports a `RelayHandle` to `trio.Nursery.start` once the relay accepts
            connections.

    Returns:
        None, after the last connection is closed.

    Raises:
        OSError: The host does not resolve, the port cannot be bound, no descriptor is free, or
            ``token_file`` cannot be read.
        ValueError: ``listeners`` is empty, or ``token_file`` does not contain exactly one token.
    """
    given: list[trio.abc.Listener[Any]] = list(listeners or ())
    if listeners is not None and not given:
        raise ValueError("listeners is empty; leave it out to listen on host and port")
    opened: Sequence[trio.abc.Listener[Any]] = given
    try:
        with open_epoll_reader() as reader:
            state = RelayState(settings, observer, reader)
            if listeners is None:
                opened = await trio.open_tcp_listeners(port, host=host)
            try:
                await run_relay(state, opened, task_status)
            finally:
                state.ended.set()
    finally:
        for listener in opened:
            await trio.aclose_forcefully(listener)


async def run_relay(
    state: RelayState,
    listeners: Sequence[trio.abc.Listener[Any]],
    task_status: trio.TaskStatus[RelayHandle],
) -> None:
    """Run a relay on open listeners until a stop is requested or this call is cancelled."""
    over, handle = trio.Event(), RelayHandle(state, bound_address(listeners[0]))
    async with trio.open_nursery() as hosts:
        connections = await hosts.start(connection_nursery, state.epoll_reader, over)
        try:
            async with trio.open_nursery() as nursery:
                serve = partial(start_connection, state, connections)
                accepting = await nursery.start(
                    accept, listeners, serve, state.epoll_reader, state.accept_errors
                )
                nursery.start_soon(
                    sweep, state.pairs, state.admission, state.settings, state.report_text
                )
                task_status.started(handle)
                await state.stop_requested.wait()
                await stop_gracefully(state, accepting)
                nursery.cancel_scope.cancel()
        finally:
            over.set()
            stop_at_once(state)


def start_connection(state: RelayState, connections: trio.Nursery, stream: Accepted) -> None:
    """Register a new connection and start its task.

    The connection is registered before its task runs, so that every shutdown includes it.
    """
    connection = Connection(state, stream, connections)
    state.add(connection)
    connection.start()


async def connection_nursery(
    reader: EpollReader | None, over: trio.Event, *, task_status: trio.TaskStatus[trio.Nursery]
) -> None:
    """Run the epoll reader and the connections, until ``over`` is set and no connection is open.

    The nursery is shielded, so that a cancelled relay can complete the closing handshake of each
    connection, which takes at most ``close_timeout``.
    """
    # If `start` was cancelled, no caller would set `over`, and the shielded task would never end.
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
    """Return the host and the port of a TCP or TLS listener; ("", 0) for any other listener."""
    listener = getattr(listener, "transport_listener", listener)  # a TLS listener wraps another
    name = listener.socket.getsockname() if isinstance(listener, trio.SocketListener) else None
    return (name[0], name[1]) if isinstance(name, tuple) else ("", 0)
