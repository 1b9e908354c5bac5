"""`arc-relay pipe` and `arc-relay forward`: open sessions with the host of a link."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Final

import trio

from ...client import EndpointError, InvalidLink, Refused, Session, WrongKey, connect
from ...client.dial import connect_error_text
from ...daemon.errors import StartError
from ...daemon.unix_listener import UnixListener, open_unix
from .copying import LocalStreamFailed, copy_both, ignore_close
from .links import find_link, is_link
from .options import ForwardOptions, PipeOptions, Run
from .reporter import Reporter
from .running import explain, run
from .standard_io import StandardIO
from .status import Status
from .targets import Address, error_prefix, parse_address

HOST_TIMEOUT: Final = 60.0  # seconds that a local connection waits for the host
FINAL: Final = (WrongKey, Refused, InvalidLink)  # every further session would fail, too

OpenSession = Callable[..., AbstractAsyncContextManager[Session]]  # `connect` with its options


def session_opener(link: str | None, options: PipeOptions, reporter: Reporter) -> OpenSession:
    """Return a function that opens a session. Raises ValueError if an option is not valid."""
    found = find_link(link)
    return partial(connect, found, on_event=reporter.on_event, **options.arguments(found.url))


def prepare_pipe(options: PipeOptions) -> Run:
    """Return a function that runs `arc-relay pipe`. Raises ValueError if an option is not valid."""
    local = StandardIO()
    reporter = Reporter(Status("host", "waiting for the host"), quiet=options.quiet, single=True)
    open_session = session_opener(options.link, options, reporter)

    async def pipe() -> None:
        with ignore_close(local):
            async with open_session() as session:
                with reporter.traffic.counting(session):
                    await copy_both(session, local)

    return partial(run, pipe, reporter)


def prepare_forward(options: ForwardOptions) -> Run:
    """Return a function that runs `arc-relay forward`. Raises ValueError, like `prepare_pipe`."""
    link, local = options.link, options.local
    if local is None and link is not None and not is_link(link):  # the link is in the variable
        link, local = None, link
    with error_prefix("LOCAL must be PORT, HOST:PORT or unix:PATH, and LINK a link or @FILE"):
        address = Address() if local is None else parse_address(local)
    status = Status("session", "waiting for connections", "waiting for the host", note="")
    reporter = Reporter(status, quiet=options.quiet)
    opener = partial(session_opener(link, options, reporter), wait_timeout=HOST_TIMEOUT)

    async def forward() -> None:
        listeners = await listen(address)
        if not options.quiet or local is None:  # the system has chosen the port
            reporter.say(f"forwarding {', '.join(map(name_of, listeners))}")
        await trio.serve_listeners(partial(forward_one, opener, reporter), listeners)

    return partial(run, forward, reporter)


async def forward_one(
    open_session: OpenSession, reporter: Reporter, stream: trio.SocketStream
) -> None:
    """Forward one connection, and report its failure. Reset it unless both streams have ended."""
    try:
        async with open_session() as session:
            with reporter.traffic.counting(session):
                await copy_both(session, stream)
        await stream.aclose()
    except FINAL:
        raise
    except EndpointError as error:
        reporter.say(f"a connection failed: {explain(error)[1]}")
    except LocalStreamFailed:  # the local program closed the connection
        pass
    finally:
        # Reset: a client that is still connected gets an error, not the end of a stream.
        with suppress(OSError):
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()


async def listen(local: Address) -> list[trio.SocketListener | UnixListener]:
    """Listen on an address; on a free port if the port is 0. Raises StartError with the cause."""
    if local.path:
        return [open_unix(local.path, 0o600, option="LOCAL")]
    try:
        return [*await trio.open_tcp_listeners(local.port, host=local.host)]
    except OSError as error:
        raise StartError(f"cannot listen on {local}: {connect_error_text(error)}") from None


def name_of(listener: trio.SocketListener | UnixListener) -> str:
    """Return the address of a listener in a form that `parse_address` accepts."""
    name = listener.socket.getsockname()
    return str(Address(*name[:2]) if isinstance(name, tuple) else Address(path=name))
