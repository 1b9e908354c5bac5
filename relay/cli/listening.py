"""The listeners of a relay: on TCP, on a Unix socket, or as the supervisor passed them."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Any, Final, NamedTuple

import trio

from .activation import take_sockets
from .complaint import Complaint, reason
from .settings import StartSettings
from .unix import UnixListener, open_unix

__all__ = ["Opened", "describe", "open_listeners", "open_tcp"]

PORT_ATTEMPTS: Final = 20
"""How often one free port is looked for that every address of a host can have."""

Plain = trio.SocketListener | UnixListener


class Opened(NamedTuple):
    """The listeners of a relay."""

    listeners: list[Plain]
    inherited: bool
    """Whether the supervisor passed some of them, which stay open when the relay is gone."""


async def open_listeners(
    settings: StartSettings, environment: MutableMapping[str, str] = os.environ
) -> Opened:
    """Open the listeners that were asked for.

    They are the sockets that the supervisor passed (see `take_sockets`), or else host and port
    (see `open_tcp`), unless only a Unix socket is wanted; and that one, if a path is given (see
    `open_unix`).

    Raises `Complaint` if one of them cannot be had; the others are closed then.
    """
    listeners: list[Plain] = [*take_sockets(environment)]
    inherited = bool(listeners)
    try:
        if settings.unix:
            listeners.append(open_unix(settings.unix, int(settings.unix_mode, 8)))
        if settings.tcp and not inherited:
            listeners += await open_tcp(settings.host, settings.port)
    except Complaint:
        for listener in listeners:
            await trio.aclose_forcefully(listener)
        raise
    return Opened(listeners, inherited)


async def open_tcp(host: str, port: int, *, option: str = "") -> list[trio.SocketListener]:
    """Return a listener for each address of host, which may be a name; ``*`` is all interfaces.

    Port 0 lets the system choose: one port for all of them, unless there is none.

    Raises `Complaint` if host does not resolve or the port cannot be bound; it names the option
    that gave both, if it was one.
    """
    try:
        return await open_on_one_port(None if host == "*" else host, port)
    except OSError as error:
        why = reason(error)
    except UnicodeError:
        why = "this cannot be a host's name"
    given = f"{option} {host}:{port}" if option else f"--host {host!r} --port {port}"
    raise Complaint(f"cannot listen on {given}: {why}")


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


def describe(listener: trio.abc.Listener[Any], scheme: str = "ws") -> str:
    """Return for people where a listener of this package listens, also below TLS.

    ``ws://HOST:PORT``, or with another scheme, ``wss://HOST:PORT``, ``unix:PATH`` or
    ``unix:PATH (TLS)``.
    """
    plain: Any = getattr(listener, "transport_listener", listener)
    tls = plain is not listener
    name = plain.socket.getsockname()
    if isinstance(name, tuple):
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"{scheme}{'s' if tls else ''}://{host}:{name[1]}"
    # In the abstract namespace it is bytes that begin with a zero, written @ everywhere. What is
    # not UTF-8 is escaped: the terminal would not take it.
    path = os.fsencode(name).decode(errors="backslashreplace").replace("\0", "@", 1)
    return f"unix:{path}{' (TLS)' if tls else ''}"
