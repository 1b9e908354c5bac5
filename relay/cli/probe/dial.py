"""From a URL to a stream: TCP, TLS, and what went wrong with them."""

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
"""What OpenSSL's codes of a refused certificate come to; they are fixed (openssl-verify(1))."""

NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
"""What OpenSSL makes of a plain answer, by version."""

UNREACHABLE: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT)


@dataclass(slots=True)
class Awaited:
    """What a step waits for just now: what is to be said if its time runs out."""

    what: str = ""


async def dial(url: Url, context: ssl.SSLContext | None, awaited: Awaited) -> trio.abc.Stream:
    """Return a stream to the host of a URL, under TLS if there is a context for it.

    Raises Failure if there is no connection, or no TLS with whoever answers.
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
    """Return why there is no TCP connection."""
    if isinstance(error, socket.gaierror):
        return Failure(f"the name does not resolve: {error.strerror}", "dns")
    # What went wrong with each of the addresses of the name is in the cause.
    group = error.__cause__
    each = group.exceptions if isinstance(group, BaseExceptionGroup) else (error,)
    numbers = [one.errno for one in each if isinstance(one, OSError) and one.errno]
    text = ", ".join(dict.fromkeys(os.strerror(number).lower() for number in numbers))
    cause = "unreachable" if all(number in UNREACHABLE for number in numbers) else "refused"
    return Failure(text or str(error), cause)


def tls_failure(error: BaseException | None) -> Failure:
    """Return why there is no TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = CERTIFICATE_CAUSES.get(error.verify_code, "tls certificate")
        return Failure(f"certificate refused: {printable(error.verify_message)}", cause)
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    if reason in NOT_TLS:
        return Failure("what answers is not TLS", "not tls")
    if reason is None or reason == "UNEXPECTED_EOF_WHILE_READING":
        return Failure("the other end hung up during the TLS handshake", "tls")
    return Failure(f"TLS handshake failed: {reason.lower().replace('_', ' ')}", "tls")
