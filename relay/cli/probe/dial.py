"""Open a stream to the relay, and classify the failures of the connection and of TLS."""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass
from typing import Final

import trio

from ..client import ConnectTarget, connect, connect_error_text, error_numbers, start_tls
from .hints import Failure, printable

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
"""Cause for each verification error of OpenSSL, keyed by its number (openssl-verify(1))."""

NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
"""Reasons with which various versions of OpenSSL report that a response is not TLS."""

UNREACHABLE: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT)


@dataclass(slots=True)
class Awaited:
    """Object that the current step waits for. The error message of a timeout names this object."""

    what: str = ""


async def dial(target: ConnectTarget, awaited: Awaited) -> trio.abc.Stream:
    """Return a stream to a target, with TLS if the target has a context.

    Raises Failure if the TCP connection or the TLS handshake fails.
    """
    awaited.what = "TCP connection"
    try:
        stream = await connect(target)
    except OSError as error:
        raise tcp_failure(error) from None
    awaited.what = "TLS handshake"
    try:
        return await start_tls(stream, target)
    except trio.BrokenResourceError as error:
        raise tls_failure(error.__cause__) from None


def tcp_failure(error: OSError) -> Failure:
    """Return the Failure for a TCP connection that failed with this exception."""
    if isinstance(error, socket.gaierror):
        return Failure(f"the name does not resolve: {error.strerror}", "dns")
    if isinstance(error, PermissionError):
        return Failure(connect_error_text(error), "denied")
    reachable = any(number not in UNREACHABLE for number in error_numbers(error))
    return Failure(connect_error_text(error), "refused" if reachable else "unreachable")


def tls_failure(error: BaseException | None) -> Failure:
    """Return the Failure for a TLS handshake that failed with this exception."""
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = CERTIFICATE_CAUSES.get(error.verify_code, "tls certificate")
        return Failure(f"certificate refused: {printable(error.verify_message)}", cause)
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    if reason in NOT_TLS:
        return Failure("the server does not speak TLS", "not tls")
    if reason is None or reason == "UNEXPECTED_EOF_WHILE_READING":
        return Failure("the server closed the connection during the TLS handshake", "tls")
    return Failure(f"TLS handshake failed: {reason.lower().replace('_', ' ')}", "tls")
