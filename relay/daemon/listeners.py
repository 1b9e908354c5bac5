"""The listeners of a relay: on TCP, on a Unix socket, or as the supervisor passed them."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Any, Final, NamedTuple

import trio

from .errors import StartError, escaped, os_error_text
from .settings import DaemonSettings
from .socket_activation import inherited_listeners
from .unix_listener import UnixListener, open_unix

__all__ = ["Listeners", "display_url", "open_listeners", "open_tcp"]

PORT_ATTEMPTS: Final = 20
"""Attempts to find one free port that every address of a host can have."""

ABSENT: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
"""Errors of an address that this machine does not have, such as ::1 where IPv6 is off."""

SCOPE_INDEX: Final = 3
"""Index of the scope in the socket address of IPv6; the address of IPv4 has only two items."""

Plain = trio.SocketListener | UnixListener


class Listeners(NamedTuple):
    """The listeners of a relay."""

    listeners: list[Plain]
    inherited: bool
    """True if the supervisor passed some of them, which stay open after the end of the relay."""


async def open_listeners(
    settings: DaemonSettings, environment: MutableMapping[str, str] = os.environ
) -> Listeners:
    """Open the listeners that were asked for.

    They are the sockets that the supervisor passed (see `inherited_listeners`), or else host and
    port (see `open_tcp`), unless only a Unix socket is wanted; and that one, if a path is given
    (see `open_unix`).

    Raises `Complaint` if one of them cannot be had; the others are closed then.
    """
    listeners: list[Plain] = [*inherited_listeners(environment)]
    inherited = bool(listeners)
    try:
        # First the host, whose name may take long to resolve: a signal that ends the process
        # meanwhile leaves no file behind.
        tcp = settings.tcp and not inherited
        on_tcp = await open_tcp(settings.host, settings.port) if tcp else []
        listeners += on_tcp
        if settings.unix_socket:
            unix = open_unix(settings.unix_socket, int(settings.unix_socket_mode, 8))
            listeners.insert(len(listeners) - len(on_tcp), unix)
    except StartError:
        for listener in listeners:
            await trio.aclose_forcefully(listener)
        raise
    return Listeners(listeners, inherited)


async def open_tcp(host: str, port: int, *, option: str = "") -> list[trio.SocketListener]:
    """Return a listener for each address of host, which may be a name; ``*`` is all interfaces.

    Addresses that this machine does not have are skipped if there is another one. Port 0 lets the
    system choose: one port for all addresses, unless there is none.

    Raises `Complaint` if host does not resolve or the port cannot be bound; it names the option
    that gave both, if it was one, and the address where that is not the host itself.
    """
    try:
        addresses = await resolve(host)
        return await open_on_one_port(addresses, port)
    except Unbound as unbound:
        why = os_error_text(unbound.error)
        if unbound.address != host:
            why = f"{why} ({unbound.address})"
    except OSError as error:
        why = os_error_text(error)
    except UnicodeError:
        why = "this cannot be a host's name"
    given = f"{option} {host}:{port}" if option else f"--host {host!r} --port {port}"
    raise StartError(f"cannot listen on {given}: {why}")


class Unbound(Exception):
    """An address that could not be listened on."""

    def __init__(self, address: str, error: OSError) -> None:
        super().__init__(address, error)
        self.address = address
        self.error = error


async def resolve(host: str) -> list[str]:
    """Return the addresses of a host, each once.

    Raises OSError or UnicodeError if there is none.
    """
    found = await trio.socket.getaddrinfo(
        None if host == "*" else host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return list(dict.fromkeys(with_scope(address) for *_, address in found))


def with_scope(address: tuple[Any, ...]) -> str:
    """Return the host of a socket address, with the scope of a link-local IPv6 address.

    Python leaves the scope out of the host (RFC 4007 section 11), and has it as a number.
    """
    host, scope = str(address[0]), address[3] if len(address) > SCOPE_INDEX else 0
    return f"{host}%{scope}" if scope else host


async def open_on_one_port(addresses: Sequence[str], port: int) -> list[trio.SocketListener]:
    """Return a listener for each address, on the same port if the system can choose."""
    listeners = await open_each(addresses, port)
    for _ in range(PORT_ATTEMPTS):
        ports = {listener.socket.getsockname()[1] for listener in listeners}
        if len(ports) == 1:
            break
        close(listeners)
        try:
            listeners = await open_each(addresses, min(ports))
        except Unbound:  # another program has the port at one of the addresses
            listeners = await open_each(addresses, 0)
    return listeners


async def open_each(addresses: Sequence[str], port: int) -> list[trio.SocketListener]:
    """Return a listener for each address that this machine has.

    Raises `Unbound` if another error occurs, or if the machine has none of them.
    """
    listeners: list[trio.SocketListener] = []
    absent: list[Unbound] = []
    for address in addresses:
        try:
            listeners += await trio.open_tcp_listeners(port, host=address)
        except OSError as error:
            unbound = Unbound(address, error)
            if error.errno not in ABSENT:
                close(listeners)
                raise unbound from None
            absent.append(unbound)
    if not listeners:
        raise absent[0]
    return listeners


def close(listeners: Iterable[trio.SocketListener]) -> None:
    """Close listeners that nobody uses yet."""
    for listener in listeners:
        listener.socket.close()


def display_url(listener: trio.abc.Listener[Any], scheme: str = "ws") -> str:
    """Return for people where a listener of this package listens, also below TLS.

    ``ws://HOST:PORT``, or with another scheme, ``wss://HOST:PORT``, ``unix:PATH`` or
    ``unix:PATH (TLS)``.
    """
    plain: Any = getattr(listener, "transport_listener", listener)
    tls = plain is not listener
    name = plain.socket.getsockname()
    if isinstance(name, tuple):
        host = f"[{with_scope(name)}]" if ":" in name[0] else name[0]
        return f"{scheme}{'s' if tls else ''}://{host}:{name[1]}"
    # In the abstract namespace it is bytes that begin with a zero, written @ everywhere. Bytes that
    # are not UTF-8 and control characters are escaped: a terminal would act on them.
    path = os.fsencode(name).decode(errors="backslashreplace").replace("\0", "@", 1)
    return f"unix:{escaped(path)}{' (TLS)' if tls else ''}"
