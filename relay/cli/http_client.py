"""HTTP requests that the commands send to a relay: their targets, and the responses."""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import Final

import h11
import trio

from ..client.dial import (
    ConnectTarget,
    bracketed,
    client_context,
    connect,
    connect_error_text,
    start_tls,
)
from ..client.url import is_loopback, parse_url
from ..daemon.errors import StartError
from ..daemon.settings import DaemonSettings

LOOPBACK_FOR: Final = {
    "*": ("127.0.0.1", "::1"),
    "0.0.0.0": ("127.0.0.1",),  # noqa: S104 - a key; nothing is bound to it
    "::": ("::1",),
}
"""Loopback addresses of a relay on this machine, keyed by the wildcard address that the relay
listens on."""

TIMEOUT: Final = 5.0
"""Seconds within which a relay must answer."""

MAX_BODY: Final = 64 * 1024
"""Number of bytes of a body after which `exchange` stops reading; a relay sends fewer than 100."""


def local_target(settings: DaemonSettings) -> ConnectTarget:
    """Return the target that reaches the relay with these settings on this machine.

    The relay's certificate is not verified, because it is for a public host name, not for the local
    address of the target.
    """
    context = client_context(verify=False) if settings.tls_cert else None
    if not settings.tcp:
        return ConnectTarget(unix=settings.unix_socket, tls=context)
    addresses = LOOPBACK_FOR.get(settings.host, (settings.host,))
    return ConnectTarget(addresses, settings.port, tls=context)


def parse_target(text: str) -> ConnectTarget:
    """Return the target for requests to a URL. If the URL has no path, the path is /health.

    The certificate is verified unless the host is a loopback address. The query of the URL is
    dropped. Raises ValueError like `parse_url`.
    """
    url = parse_url(text)
    context = client_context(verify=not is_loopback(url.host)) if url.tls else None
    target = url.target(context)
    return target if url.path == "/" else replace(target, path=url.path)


async def fetch(
    target: ConnectTarget,
    timeout: float,  # noqa: ASYNC109
    body: bytes | None = None,
) -> tuple[int, bytes]:
    """Request the path of a target; return the status and the body of the response.

    The method is POST if there is a request body, and GET otherwise. The returned body may be
    incomplete. Raises `StartError` with the cause if the connection fails, or if no HTTP response
    arrives within ``timeout`` seconds. Cancellation closes the connection.
    """
    try:
        with trio.fail_after(timeout):
            async with await start_tls(await connect(target), target) as stream:
                return await exchange(stream, target, body)
    except trio.TooSlowError:
        problem = f"no answer within {timeout:g} s from {target}"
    except h11.ProtocolError:
        problem = f"no HTTP answer from {target}"
    except (trio.BrokenResourceError, OSError, ValueError) as error:
        problem = describe_failure(error, target)
    raise StartError(problem)


async def exchange(
    stream: trio.abc.Stream, target: ConnectTarget, body: bytes | None
) -> tuple[int, bytes]:
    """Send a request over a stream; return the status and the body of the response."""
    headers = [("Host", bracketed(target.name)), ("Connection", "close")]
    events: list[h11.Event] = [h11.Request(method="GET", target=target.path, headers=headers)]
    if body is not None:
        headers.append(("Content-Length", str(len(body))))
        events = [h11.Request(method="POST", target=target.path, headers=headers), h11.Data(body)]
    client = h11.Connection(h11.CLIENT)
    await stream.send_all(b"".join(client.send(it) or b"" for it in (*events, h11.EndOfMessage())))
    status, found = 0, b""
    while len(found) < MAX_BODY:
        try:
            event = client.next_event()
        except h11.RemoteProtocolError:
            if status:
                break
            raise
        if event is h11.NEED_DATA:
            client.receive_data(bytes(await stream.receive_some()))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            found += event.data
        elif isinstance(event, h11.EndOfMessage):
            break
    return status, found


def describe_failure(error: Exception, target: ConnectTarget) -> str:
    """Return the error message for a failed connection."""
    cause = error.__cause__ if isinstance(error, trio.BrokenResourceError) else error
    if isinstance(cause, ssl.SSLError):
        reason = (cause.reason or "the connection ended early").lower().replace("_", " ")
        return f"no TLS with {target}: {getattr(cause, 'verify_message', '') or reason}"
    return f"{connect_error_text(cause) if isinstance(cause, OSError) else cause} at {target}"
