"""Connect to a relay over TCP or a Unix socket, do the TLS handshake, and describe failures."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import trio

UNIX: Final = "unix:"

# Cause of a failure for each verification error of OpenSSL, by number (openssl-verify(1)).
CERTIFICATE_CAUSES: Final = {
    **dict.fromkeys((9, 10), "tls expired"),  # or not yet valid
    **dict.fromkeys(range(18, 22), "tls authority"),
    **dict.fromkeys((62, 64), "tls name"),
}

# Reasons in the SSLError if the server does not use TLS. They depend on the version of OpenSSL.
NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")

UNREACHABLE: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT)


@dataclass(frozen=True, slots=True)
class ConnectTarget:
    """Target of a connection: a Unix socket, or a port and addresses that are tried in order."""

    addresses: tuple[str, ...] = ()
    port: int = 0
    unix: str = ""
    tls: ssl.SSLContext | None = None  # TLS context; None for a connection without TLS
    # Host name for the Host header and for the verification of the server's certificate.
    name: str = "localhost"
    path: str = "/health"

    def __str__(self) -> str:
        if self.unix:
            return f"{UNIX}{self.unix}"
        return " and ".join(f"{bracketed(host)}:{self.port}" for host in self.addresses)


def bracketed(host: str) -> str:
    """Return a host in the form that URLs use, with brackets around an IPv6 address."""
    return f"[{host}]" if ":" in host else host


def client_context(*, verify: bool = True, ca: str | None = None) -> ssl.SSLContext:
    """Return a TLS context that trusts the certificate authorities of the system.

    If ``ca`` is the path of a PEM file, the context trusts only the authorities in this file.
    If ``verify`` is False, the context trusts every certificate. Raises OSError if the file cannot
    be read, and ssl.SSLError, a subclass of OSError, if the file contains no certificate.
    """
    if verify:
        context = ssl.create_default_context(cafile=ca)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # Offer only HTTP/1.1, as browsers do for WebSockets. Otherwise, a proxy could choose HTTP/2.
    context.set_alpn_protocols(["http/1.1"])
    return context


async def connect(target: ConnectTarget) -> trio.SocketStream:
    """Connect to a target, without TLS.

    Raises OSError if no address accepts the connection, and ValueError for an invalid host name.
    """
    if target.unix:
        return await trio.open_unix_socket(target.unix)
    *others, last = target.addresses
    for host in others:
        with suppress(OSError):
            return await trio.open_tcp_stream(host, target.port)
    return await trio.open_tcp_stream(last, target.port)


async def start_tls(stream: trio.abc.Stream, target: ConnectTarget) -> trio.abc.Stream:
    """Do the TLS handshake on a stream, and return the encrypted stream.

    Without a TLS context, return the stream unchanged. If the handshake fails, the stream is closed
    and trio.BrokenResourceError is raised. The cause of the exception is an OSError, such as
    ssl.SSLError.
    """
    if target.tls is None:
        return stream
    try:
        secure = trio.SSLStream(
            stream, target.tls, server_hostname=target.name, https_compatible=True
        )
        await secure.do_handshake()
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        if isinstance(error, ssl.SSLError):  # a host name that is too long for TLS
            raise trio.BrokenResourceError from error
        raise
    return secure


def error_numbers(error: OSError) -> list[int]:
    """Return the error numbers of a failed connection, one for each address that was tried."""
    group = error.__cause__
    each = group.exceptions if isinstance(group, BaseExceptionGroup) else (error,)
    return [one.errno for one in each if isinstance(one, OSError) and one.errno]


def connect_error_text(error: OSError) -> str:
    """Return the operating system's error messages for a failed connection, without duplicates."""
    if isinstance(error, socket.gaierror):
        return str(error.strerror).lower()
    texts = (os.strerror(number).lower() for number in error_numbers(error))
    return ", ".join(dict.fromkeys(texts)) or str(error)


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
