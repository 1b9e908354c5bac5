"""`arc-relay forward`: open a session for each connection to a local socket."""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from ...client.background import background
from ...client.dial import connect_error_text
from ...client.errors import EndpointError, InvalidLink, Refused, WrongKey
from ...daemon.errors import StartError
from ...daemon.unix_listener import UnixListener, open_unix
from ..options import WrongUsage
from .addresses import LOOPBACK, Address, TcpAddress, UnixAddress, parse_address
from .copying import InputFailed, copy_both
from .failures import failure_text
from .guest import GuestOptions, OpenSession
from .link_argument import find_link, is_link
from .reporter import Reporter
from .running import run_main
from .status import Status

MODE: Final = 0o600
"""Permissions of the local Unix socket: only its owner can connect."""

HOST_TIMEOUT: Final = 60.0
"""Maximum time, in seconds, that a local connection waits for the host."""

RESET: Final = struct.pack("ii", 1, 0)
"""Value of SO_LINGER that makes close(2) reset the connection."""

FINAL: Final = (WrongKey, Refused, InvalidLink)
"""Errors that would also make every further session fail."""


def parse_local(text: str | None) -> Address:
    """Parse LOCAL: an address; None for a free port. Raises ValueError as `parse_address` does."""
    return TcpAddress(LOOPBACK, 0) if text is None else parse_address(text)


def run_forward(argument: str | None, local: str | None, options: GuestOptions) -> int:
    """Forward connections until the command ends, and return the exit status.

    A single argument that is not a link is LOCAL. Raises WrongUsage if an argument is not valid.
    """
    if local is None and argument is not None and not is_link(argument):
        argument, local = None, argument
    try:
        address = parse_local(local)
    except ValueError as error:
        raise WrongUsage(
            f"LOCAL must be PORT, HOST:PORT or unix:PATH, and LINK a link or @FILE: {error}"
        ) from None
    status = Status("session", "waiting for connections", "waiting for the host", note="")
    reporter = Reporter(status, sys.stderr, quiet=options.quiet)
    opener = options.session_opener(find_link(argument), reporter.on_event)
    opener = partial(opener, wait_timeout=HOST_TIMEOUT)
    # Only this line tells the user which port the system has chosen.
    announce = not options.quiet or local is None
    return trio.run(run_main, partial(forward, opener, address, reporter, announce=announce))


async def forward(
    open_session: OpenSession, local: Address, reporter: Reporter, *, announce: bool
) -> None:
    """Listen on a local address, and forward each connection in a session of its own.

    If ``announce`` is True, write the address to standard error.

    Raises StartError if it cannot listen on the address, and EndpointError for an error that would
    also make every further session fail.
    """

    async def handle(stream: trio.SocketStream) -> None:
        await forward_one(open_session, stream, reporter)

    listeners = await listen(local)
    if announce:
        reporter.say(f"forwarding {', '.join(map(name_of, listeners))}")
    async with background(reporter.run):
        await trio.serve_listeners(handle, listeners)


async def forward_one(
    open_session: OpenSession, stream: trio.SocketStream, reporter: Reporter
) -> None:
    """Forward one connection, and report its failure. Reset it unless both streams have ended.

    Raises EndpointError for an error that would also make every further session fail.
    """
    try:
        async with open_session() as session:
            with reporter.traffic.counting(session):
                await copy_both(session, stream)
        await stream.aclose()
    except FINAL:
        raise
    except EndpointError as error:
        reporter.say(f"a connection failed: {failure_text(error)}")
    except InputFailed:  # the local program closed the connection
        pass
    finally:
        reset(stream)


async def listen(local: Address) -> list[trio.SocketListener | UnixListener]:
    """Listen on an address. If this fails, raise StartError with the cause."""
    if isinstance(local, UnixAddress):
        return [open_unix(local.path, MODE, option="LOCAL")]
    try:
        return [*await trio.open_tcp_listeners(local.port, host=local.host)]
    except OSError as error:
        raise StartError(f"cannot listen on {local}: {connect_error_text(error)}") from None


def name_of(listener: trio.SocketListener | UnixListener) -> str:
    """Return the address of a listener in a form that `parse_local` accepts."""
    name = listener.socket.getsockname()
    return str(TcpAddress(*name[:2]) if isinstance(name, tuple) else UnixAddress(name))


def reset(stream: trio.SocketStream) -> None:
    """Reset a connection, so that its client gets an error instead of the end of a stream."""
    with suppress(OSError):
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    stream.socket.close()
