"""Describe the failure of a TCP connection or of a TLS handshake."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import Final

from .dial import connect_error_text, error_numbers

# Cause of a failure for each verification error of OpenSSL, by number (openssl-verify(1)).
CERTIFICATE_CAUSES: Final = {
    **dict.fromkeys((9, 10), "tls expired"),  # or not yet valid
    **dict.fromkeys(range(18, 22), "tls authority"),
    **dict.fromkeys((62, 64), "tls name"),
}

# Reasons in the SSLError if the server does not use TLS. They depend on the version of OpenSSL.
NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")

UNREACHABLE: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT)


def describe_tcp_error(error: OSError) -> tuple[str, str]:
    """Return the message and the cause for the exception of a TCP connection.

    The message has one line. The cause is a kind of failure, in words that programs can compare.
    """
    if isinstance(error, socket.gaierror):
        return (f"the name does not resolve: {error.strerror}", "dns")
    if isinstance(error, PermissionError):
        return (connect_error_text(error), "denied")
    reachable = any(number not in UNREACHABLE for number in error_numbers(error))
    return (connect_error_text(error), "refused" if reachable else "unreachable")


def describe_tls_error(error: BaseException | None) -> tuple[str, str]:
    """Return the message and the cause for the exception of a TLS handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = CERTIFICATE_CAUSES.get(error.verify_code, "tls certificate")
        return (f"certificate refused: {printable(error.verify_message)}", cause)
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    if reason in NOT_TLS:
        return ("the server does not speak TLS", "not tls")
    if reason is None or reason == "UNEXPECTED_EOF_WHILE_READING":
        return ("the server closed the connection during the TLS handshake", "tls")
    return (f"TLS handshake failed: {reason.lower().replace('_', ' ')}", "tls")


def printable(text: str) -> str:
    """Replace each unprintable character of an untrusted text with ``?``."""
    return "".join(char if char.isprintable() else "?" for char in text)
