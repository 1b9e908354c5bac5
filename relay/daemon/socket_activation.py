"""Sockets that systemd, or another service manager, opened before it started the relay.

These sockets stay open while the relay restarts. Clients that connect during the restart wait in
the backlog.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import MutableMapping
from contextlib import suppress
from itertools import zip_longest
from typing import Final

import trio

from .errors import StartError

FIRST_DESCRIPTOR: Final = 3
VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
COUNT: Final = re.compile(r"[0-9]{1,9}")
FAMILIES: Final = {socket.AF_INET, socket.AF_INET6, socket.AF_UNIX}


def inherited_listeners(
    environment: MutableMapping[str, str], first: int = FIRST_DESCRIPTOR
) -> list[trio.SocketListener]:
    """Return a listener for each socket that the service manager passed to this process.

    The variables that describe the sockets are removed, so that no other code uses the sockets. The
    file of a Unix socket is not removed, because it belongs to the service manager.

    Raises `StartError` if a variable is malformed, or if a descriptor is not a listening stream
    socket. In the latter case, the sockets of the preceding descriptors are closed first.
    """
    pid, count, names, _ = (environment.pop(name, "") for name in VARIABLES)
    if pid != str(os.getpid()):  # the sockets are for another process
        return []
    if not COUNT.fullmatch(count):
        raise StartError(f"LISTEN_FDS must be a whole number, not {count!r}")
    descriptors = range(first, first + int(count))
    sockets: list[socket.socket] = []
    try:
        for descriptor, name in zip_longest(descriptors, names.split(":")[: len(descriptors)]):
            sockets.append(inherited_socket(descriptor, name))
    except StartError:
        for sock in sockets:
            sock.close()
        raise
    return [trio.SocketListener(trio.socket.from_stdlib_socket(sock)) for sock in sockets]


def inherited_socket(descriptor: int, name: str | None) -> socket.socket:
    """Return the socket that the service manager passed as ``descriptor``.

    Raises `StartError` if the descriptor is not a listening stream socket.
    """
    with suppress(OSError):  # the descriptor is closed, or is not a socket
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
        if (
            sock.family in FAMILIES
            and sock.type == socket.SOCK_STREAM
            and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        ):
            return sock
        sock.close()
    called = f" ({name!r})" if name else ""
    raise StartError(
        f"descriptor {descriptor}{called} in LISTEN_FDS is not a listening TCP or Unix stream"
        " socket; a socket unit needs ListenStream= and Accept=no"
    )
