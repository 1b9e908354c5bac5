"""Read the names and the expiry of the certificate that a TLS context serves.

The ssl module decodes a certificate only for a client that has verified it. So this module does a
TLS handshake in memory, between the TLS context and a client. The client trusts only the
certificates in the PEM file and ignores their validity periods, so that even an expired certificate
is decoded.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, NamedTuple

NO_CHECK_TIME: Final = 0x200000
"""Flag X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which the ssl module does not define. With this flag,
OpenSSL ignores validity periods."""

ROUND_TRIPS: Final = 3
"""Number of calls of `do_handshake` that complete a handshake: 3 in TLS 1.2, and 2 in TLS 1.3."""

NAME_KINDS: Final = {"DNS", "IP Address"}
"""Kinds of subjectAltName entries that clients compare with the host of a URL."""


class Certificate(NamedTuple):
    """Names and expiry of a certificate."""

    names: tuple[str, ...]
    """Host names and IP addresses for which the certificate is valid."""
    expiry: float
    """End of the validity period, as a Unix time in seconds."""


def read_certificate(context: ssl.SSLContext, path: str) -> Certificate | None:
    """Return the names and the expiry of the certificate that a server context uses.

    ``path`` is the PEM file of the certificate. Return None if every client refuses the
    certificate, for example because it is not for servers.
    """
    try:
        fields: Any = handshake_in_memory(context, trusting(path)).getpeercert()
        expiry = ssl.cert_time_to_seconds(fields["notAfter"])
    except (OSError, ValueError):  # ValueError: the handshake is not complete
        return None
    # An entry of another kind, such as a directory name, may have a value that is not text.
    alternatives: Iterable[tuple[str, str]] = fields.get("subjectAltName", ())
    return Certificate(tuple(name for kind, name in alternatives if kind in NAME_KINDS), expiry)


def trusting(path: str) -> ssl.SSLContext:
    """Return a client context that trusts the certificates in a file, expired or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(path)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | NO_CHECK_TIME
    return context


def handshake_in_memory(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """Connect two contexts in memory and return the client's TLS object.

    Raises ssl.SSLError if the client refuses the server's certificate.
    """
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(ROUND_TRIPS):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ends[0]
