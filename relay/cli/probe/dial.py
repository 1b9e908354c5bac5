"""Open a stream to the relay, and report the failures of the connection and of TLS."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from ...client.dial import ConnectTarget, connect, start_tls
from ...client.dial_errors import describe_tcp_error, describe_tls_error
from .hints import Failure


@dataclass(slots=True)
class Awaited:
    """Noun for what the current step waits for, such as "pong", in the message of a timeout."""

    what: str = ""


async def dial(target: ConnectTarget, awaited: Awaited) -> trio.abc.Stream:
    """Return a stream to a target, with TLS if the target has a context.

    Raises Failure if the TCP connection or the TLS handshake fails.
    """
    awaited.what = "TCP connection"
    try:
        stream = await connect(target)
    except OSError as error:
        raise Failure(*describe_tcp_error(error)) from None
    awaited.what = "TLS handshake"
    try:
        return await start_tls(stream, target)
    except trio.BrokenResourceError as error:
        raise Failure(*describe_tls_error(error.__cause__)) from None
