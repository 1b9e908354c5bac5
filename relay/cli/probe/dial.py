"""Open a stream to a URL with TCP and TLS, and classify the failures of both."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import trio

from ..url import Url
from .hints import Failure, printable

__all__ = ["Awaited", "dial"]

CERTIFICATE_CAUSES: Final = {
    9: "tls expired",  # not yet valid
    10: "tls expired",
    18: "tls authority",  # self-signed
    19: "tls authority",
    20: "tls authority",
    21: "tls authority",
    62: "tls name",
    64: "tls name",  # an address
}
"""Causes by the verification errors of OpenSSL, whose numbers are fixed (openssl-verify(1))."""

NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
"""Reasons that versions of OpenSSL give for a response without TLS."""

UNREACHABLE: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT)


@dataclass(slots=True)
class Awaited:
    """Object that the current step waits for, to be named if the step times out."""

    what: str = ""


async def dial(url: Url, context: ssl.SSLContext | None, awaited: Awaited) -> trio.abc.Stream:
    """Return a stream to the host of a URL, with TLS if a context is given.

    Raises Failure if the TCP connection or the TLS handshake fails.
    """
    awaited.what = "TCP connection"
    try:
        stream = await trio.open_tcp_stream(url.host, url.port)
    except OSError as error:
        raise tcp_failure(error) from None
    if context is None:
        return stream
    awaited.what = "TLS handshake"
    secure = trio.SSLStream(stream, context, server_hostname=url.host, https_compatible=True)
    async with AsyncExitStack() as unfinished:
        unfinished.push_async_callback(trio.aclose_forcefully, stream)
        try:
            await secure.do_handshake()
        except trio.BrokenResourceError as error:
            raise tls_failure(error.__cause__) from None
        unfinished.pop_all()
    return secure


def tcp_failure(error: OSError) -> Failure:
    """Return the failure of a TCP connection."""
    if isinstance(error, socket.gaierror):
        return Failure(f"the name does not resolve: {error.strerror}", "dns")
    # The cause of the exception has one error for each address of the name.
    group = error.__cause__
    each = group.exceptions if isinstance(group, BaseExceptionGroup) else (error,)
    numbers = [one.errno for one in each if isinstance(one, OSError) and one.errno]
    text = ", ".join(dict.fromkeys(os.strerror(number).lower() for number in numbers))
    cause = "unreachable" if all(number in UNREACHABLE for number in numbers) else "refused"
    return Failure(text or str(error), cause)


def tls_failure(error: BaseException | None) -> Failure:
    """Return the failure of a TLS handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = CERTIFICATE_CAUSES.get(error.verify_code, "tls certificate")
        return Failure(f"certificate refused: {printable(error.verify_message)}", cause)
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    if reason in NOT_TLS:
        return Failure("what answers is not TLS", "not tls")
    if reason is None or reason == "UNEXPECTED_EOF_WHILE_READING":
        return Failure("the other end hung up during the TLS handshake", "tls")
    return Failure(f"TLS handshake failed: {reason.lower().replace('_', ' ')}", "tls")
