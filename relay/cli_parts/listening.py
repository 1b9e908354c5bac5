"""The listeners of a relay: on TCP, on a Unix socket, or as the supervisor passed them."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Any, Final

import trio

from .activation import take_sockets
from .complaint import Complaint, reason
from .unix import UnixListener, open_unix

__all__ = ["describe", "open_listeners", "open_tcp"]

PORT_ATTEMPTS: Final = 20
"""How often one free port is looked for that every address of a host can have."""

Plain = trio.SocketListener | UnixListener


async def open_listeners(
    host: str,
    port: int,
    *,
    unix: str = "",
    unix_mode: int = 0o660,
    environment: MutableMapping[str, str] = os.environ,
) -> list[Plain]:
    """Return the listeners that were asked for, the supervisor's first.

    They are the sockets that the supervisor passed (see `take_sockets`), and a Unix socket if a
    path is given (see `open_unix`). Only if there is neither, they are host and port (see
    `open_tcp`): these have defaults, which must not open a port that nobody asked for.

    Raises `Complaint` if one of them cannot be had; the others are closed then.
    """
    listeners: list[Plain] = [*take_sockets(environment)]
    if unix:
        try:
            listeners.append(open_unix(unix, unix_mode))
        except Complaint:
            for listener in listeners:
                listener.socket.close()
            raise
    return listeners or [*await open_tcp(host, port)]


async def open_tcp(host: str, port: int) -> list[trio.SocketListener]:
    """Return a listener for each address of host, which may be a name; ``*`` is all interfaces.

    Port 0 lets the system choose: one port for all of them, unless there is none.

    Raises `Complaint` if host does not resolve or the port cannot be bound.
    """
    try:
        return await open_on_one_port(None if host == "*" else host, port)
    except OSError as error:
        why = reason(error)
    except UnicodeError:
        why = "this cannot be a host's name"
    raise Complaint(f"cannot listen on --host {host!r} --port {port}: {why}")


async def open_on_one_port(host: str | None, port: int) -> list[trio.SocketListener]:
    """Return a listener for each address of host, on the same port if the system can choose."""
    listeners = await trio.open_tcp_listeners(port, host=host)
    for _ in range(PORT_ATTEMPTS):
        ports = {listener.socket.getsockname()[1] for listener in listeners}
        if len(ports) == 1:
            break
        for listener in listeners:
            listener.socket.close()
        try:
            listeners = await trio.open_tcp_listeners(min(ports), host=host)
        except OSError:  # another program has it at one of the addresses
            listeners = await trio.open_tcp_listeners(0, host=host)
    return listeners


def describe(listener: trio.abc.Listener[Any]) -> str:
    """Return for people where a listener of this package listens, also below TLS.

    ``ws://HOST:PORT``, ``wss://HOST:PORT``, ``unix:PATH`` or ``unix:PATH (TLS)``.
    """
    tls = isinstance(listener, trio.SSLListener)
    plain: Any = listener.transport_listener if isinstance(listener, trio.SSLListener) else listener
    name = plain.socket.getsockname()
    if isinstance(name, tuple):
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"{'wss' if tls else 'ws'}://{host}:{name[1]}"
    # In the abstract namespace it is bytes that begin with a zero, written @ everywhere. What is
    # not UTF-8 is escaped: the terminal would not take it.
    path = os.fsencode(name).decode(errors="backslashreplace").replace("\0", "@", 1)
    return f"unix:{path}{' (TLS)' if tls else ''}"
