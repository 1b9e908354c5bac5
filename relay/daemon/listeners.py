"""Open the listeners of a relay: TCP, a Unix socket, or sockets from the service manager."""

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

PORT_ATTEMPTS: Final = 20
"""Maximum number of attempts to find a port that is free on every address of a host."""

ABSENT: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
"""Error numbers for an address that this machine does not have, such as ::1 without IPv6."""

SCOPE_INDEX: Final = 3
"""Index of the scope in an IPv6 socket address; an IPv4 socket address has only two items."""

Plain = trio.SocketListener | UnixListener


class Listeners(NamedTuple):
    """The listeners of a relay."""

    listeners: list[Plain]
    inherited: bool
    """True if the service manager passed sockets, which stay open after the relay has ended."""


async def open_listeners(
    settings: DaemonSettings, environment: MutableMapping[str, str] = os.environ
) -> Listeners:
    """Open the listeners that the settings configure.

    Host and port are used (see `open_tcp`) unless the service manager passed sockets (see
    `inherited_listeners`) or ``DaemonSettings.tcp`` is False. The Unix socket is opened whenever
    its path is set (see `open_unix`).

    Raises `StartError` if a listener cannot be opened, after closing the listeners that are already
    open.
    """
    listeners: list[Plain] = [*inherited_listeners(environment)]
    inherited = bool(listeners)
    try:
        # Open TCP before the Unix socket. The host name may resolve slowly, and a signal that ends
        # the process during the lookup must not leave the file of a Unix socket behind.
        tcp = settings.tcp and not inherited
        host, port, option = settings.host, settings.port, settings.option
        given = f"{option('host')} {host!r} {option('port')} {port}"
        on_tcp = await open_tcp(host, port, given=given) if tcp else []
        listeners += on_tcp
        if settings.unix_socket:
            mode = int(settings.unix_socket_mode, 8)
            unix = open_unix(settings.unix_socket, mode, option=option("unix_socket"))
            listeners.insert(len(listeners) - len(on_tcp), unix)
    except StartError:
        for listener in listeners:
            await trio.aclose_forcefully(listener)
        raise
    return Listeners(listeners, inherited)


async def open_tcp(host: str, port: int, *, given: str = "") -> list[trio.SocketListener]:
    """Return a listener for each address of ``host``, which is a host name or an address.

    The host ``*`` means all interfaces. Addresses that this machine does not have are skipped, but
    at least one must remain. With port 0, the system chooses a port, which is the same for all
    addresses if possible.

    Raises `StartError` if the host does not resolve or the port cannot be bound. The message quotes
    ``given``, which is a text with the flags and values of host and port. If the address that
    failed differs from ``host``, the message quotes this address too.
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
        why = "this is not a valid host name"
    raise StartError(f"cannot listen on {given}: {why}")


class Unbound(Exception):
    """Binding to an address failed."""

    def __init__(self, address: str, error: OSError) -> None:
        super().__init__(address, error)
        self.address = address
        self.error = error


async def resolve(host: str) -> list[str]:
    """Return the addresses of a host without duplicates.

    Raises OSError or UnicodeError if the host does not resolve.
    """
    found = await trio.socket.getaddrinfo(
        None if host == "*" else host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return list(dict.fromkeys(with_scope(address) for *_, address in found))


def with_scope(address: tuple[Any, ...]) -> str:
    """Return the host of a socket address as text; a link-local IPv6 address includes its scope.

    Python keeps the scope of a socket address as a separate number. RFC 4007 section 11 defines the
    text form.
    """
    host, scope = str(address[0]), address[3] if len(address) > SCOPE_INDEX else 0
    return f"{host}%{scope}" if scope else host


async def open_on_one_port(addresses: Sequence[str], port: int) -> list[trio.SocketListener]:
    """Return a listener for each address, on the same port if possible, even if ``port`` is 0."""
    listeners = await open_each(addresses, port)
    for _ in range(PORT_ATTEMPTS):
        ports = {listener.socket.getsockname()[1] for listener in listeners}
        if len(ports) == 1:
            break
        close(listeners)
        try:
            listeners = await open_each(addresses, min(ports))
        except Unbound:  # another program uses the port at one of the addresses
            listeners = await open_each(addresses, 0)
    return listeners


async def open_each(addresses: Sequence[str], port: int) -> list[trio.SocketListener]:
    """Return a listener for each address that this machine has.

    Raises `Unbound` if binding fails for an address that the machine has, or if the machine has
    none of the addresses.
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


def serves_ipv6(listeners: Iterable[Plain]) -> bool | None:
    """Return True if a listener accepts IPv6 connections; None if no listener is on TCP."""
    families = {listener.socket.family for listener in listeners}
    if families.isdisjoint({socket.AF_INET, socket.AF_INET6}):
        return None
    return socket.AF_INET6 in families


def close(listeners: Iterable[trio.SocketListener]) -> None:
    """Close listeners on which no task accepts connections yet."""
    for listener in listeners:
        listener.socket.close()


def display_url(listener: trio.abc.Listener[Any], scheme: str = "ws") -> str:
    """Return the address of a listener for log lines.

    The result for a TCP listener is ``SCHEME://HOST:PORT``, where TLS adds an ``s`` to the scheme.
    The result for a Unix socket is ``unix:PATH``, or ``unix:PATH (TLS)``.
    """
    plain: Any = getattr(listener, "transport_listener", listener)
    tls = plain is not listener
    name = plain.socket.getsockname()
    if isinstance(name, tuple):
        host = f"[{with_scope(name)}]" if ":" in name[0] else name[0]
        return f"{scheme}{'s' if tls else ''}://{host}:{name[1]}"
    # A name in the abstract namespace begins with a zero byte, which is displayed as @. Bytes that
    # are not UTF-8 are escaped, and so are control characters, on which a terminal would act.
    path = os.fsencode(name).decode(errors="backslashreplace").replace("\0", "@", 1)
    return f"unix:{escaped(path)}{' (TLS)' if tls else ''}"
