"""Describe the failure of a TCP connection or of a TLS handshake."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import Final, NamedTuple

from .dial import connect_error_text, error_numbers

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
"""`DialError.cause` for each verification error of OpenSSL, keyed by number (openssl-verify(1))."""

NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
"""Reasons in the SSLError if the server does not use TLS. They depend on the version of OpenSSL."""

UNREACHABLE: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT)


class DialError(NamedTuple):
    """Description of a failed connection."""

    text: str
    """Message, in one line."""
    cause: str
    """Kind of failure, in one or two fixed words that programs can compare."""


def describe_tcp_error(error: OSError) -> DialError:
    """Describe the exception that a TCP connection raised."""
    if isinstance(error, socket.gaierror):
        return DialError(f"the name does not resolve: {error.strerror}", "dns")
    if isinstance(error, PermissionError):
        return DialError(connect_error_text(error), "denied")
    reachable = any(number not in UNREACHABLE for number in error_numbers(error))
    return DialError(connect_error_text(error), "refused" if reachable else "unreachable")


def describe_tls_error(error: BaseException | None) -> DialError:
    """Describe the exception that a TLS handshake raised."""
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = CERTIFICATE_CAUSES.get(error.verify_code, "tls certificate")
        return DialError(f"certificate refused: {printable(error.verify_message)}", cause)
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    if reason in NOT_TLS:
        return DialError("the server does not speak TLS", "not tls")
    if reason is None or reason == "UNEXPECTED_EOF_WHILE_READING":
        return DialError("the server closed the connection during the TLS handshake", "tls")
    return DialError(f"TLS handshake failed: {reason.lower().replace('_', ' ')}", "tls")


def printable(text: str) -> str:
    """Replace each unprintable character of an untrusted text with ``?``."""
    return "".join(char if char.isprintable() else "?" for char in text)
