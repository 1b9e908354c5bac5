"""Handlers for `arc-relay share`. A handler connects the session of a guest to the target."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from ...client.dial import connect_error_text
from ...client.errors import TargetError
from ...client.session import Session
from .addresses import Address, TcpAddress
from .child import serve_command
from .copying import InputFailed, copy_both
from .failures import cause_text
from .targets import Command

CONNECT_TIMEOUT: Final = 10.0
"""Maximum time, in seconds, to connect to the target."""

Handler = Callable[[Session], Awaitable[None]]


def handler_for(target: Address | Command) -> Handler:
    """Return the handler that connects each session to a target."""

    async def handle(session: Session) -> None:
        try:
            if isinstance(target, Command):
                await serve_command(target.arguments, session)
            else:
                await serve_address(target, session)
        except InputFailed as error:
            cause = cause_text(error)
            raise TargetError(f"the connection to the target failed: {cause}") from None

    return handle


async def serve_address(address: Address, session: Session) -> None:
    """Connect to a socket, and copy between it and a session until both streams have ended.

    Raises TargetError if it cannot connect, and InputFailed if the connection fails later.
    Cancellation closes the connection.
    """
    async with await connect_to(address) as stream:
        await copy_both(session, stream)


async def connect_to(address: Address) -> trio.SocketStream:
    """Connect to a socket. If this fails, raise TargetError with the cause."""
    try:
        with trio.fail_after(CONNECT_TIMEOUT):
            if isinstance(address, TcpAddress):
                return await trio.open_tcp_stream(address.host, address.port)
            return await trio.open_unix_socket(address.path)
    except trio.TooSlowError:
        raise TargetError("cannot connect to the target: timeout") from None
    except OSError as error:
        raise TargetError(f"cannot connect to the target: {connect_error_text(error)}") from None
