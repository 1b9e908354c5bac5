"""Connection targets of the commands: parsed URLs, the local relay, TLS contexts."""

from __future__ import annotations

import ipaddress
import ssl
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

__all__ = [
    "ConnectTarget",
    "LocalListener",
    "Url",
    "client_context",
    "local_target",
    "parse_target",
    "parse_url",
    "url_target",
]

SCHEMES: Final = {"ws": False, "http": False, "wss": True, "https": True}
"""Accepted URL schemes; True if the scheme uses TLS."""

HEALTH: Final = "/health"

LOOPBACK_FOR: Final = {
    "": ("127.0.0.1", "::1"),
    "*": ("127.0.0.1", "::1"),
    "0.0.0.0": ("127.0.0.1",),  # noqa: S104 - a key, and not bound
    "::": ("::1",),
}
"""Addresses that reach, from its own machine, a relay that listens on every interface."""

UNIX: Final = "unix:"


@dataclass(frozen=True, slots=True)
class Url:
    """Parsed URL of a relay; path and query have the form of a request line."""

    tls: bool
    host: str
    """Host name in ASCII form, or address without brackets."""
    port: int
    path: str
    query: str = field(repr=False)
    """Query, which must not be logged or displayed: it may hold a pair code or a token."""

    @property
    def authority(self) -> str:
        """Value of the Host header: host and port, without the default port of the scheme."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == default_port(self.tls) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{'wss' if self.tls else 'ws'}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True)
class LocalListener:
    """Listener of the relay on this machine, from the settings of ``start``.

    If ``unix`` is set, the command connects to that socket and ignores host and port.
    """

    host: str
    port: int
    unix: str = ""
    tls: bool = False


@dataclass(frozen=True, slots=True)
class ConnectTarget:
    """Target of a connection: a unix socket, or the first address that accepts a connection."""

    addresses: tuple[str, ...] = ()
    port: int = 0
    unix: str = ""
    tls: ssl.SSLContext | None = None
    """TLS context; None for a connection without TLS."""
    name: str = "localhost"
    """Host name in the request, and in the certificate if it is verified."""
    path: str = HEALTH

    def __str__(self) -> str:
        if self.unix:
            return f"{UNIX}{self.unix}"
        hosts = (f"[{host}]" if ":" in host else host for host in self.addresses)
        return " and ".join(f"{host}:{self.port}" for host in hosts)


def default_port(tls: bool) -> int:
    """Return the default port of the scheme."""
    return 443 if tls else 80


def parse_url(text: str) -> Url:
    """Parse a ws, wss, http or https URL.

    Raises ValueError with a message of one line, which does not quote the text.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:
        raise ValueError("it has a malformed host or port") from None
    if parts.scheme not in SCHEMES or not host:
        raise ValueError("it must be like wss://relay.example/ (ws, wss, http or https)")
    if parts.username is not None:
        raise ValueError("it must not hold a user name or a password")
    tls = SCHEMES[parts.scheme]
    return Url(
        tls=tls,
        host=host,
        port=default_port(tls) if port is None else port,
        path=quote(parts.path or "/", safe=string.punctuation),
        query=quote(parts.query, safe=string.punctuation),
    )


def client_context(*, verify: bool = True, ca: Path | None = None) -> ssl.SSLContext:
    """Return a client context that trusts the authorities of the system, or only those in ``ca``.

    Without ``verify``, every certificate is trusted. Raises OSError if ``ca`` cannot be read, and
    its subclass ssl.SSLError if it holds no certificate.
    """
    if verify:
        context = ssl.create_default_context(cafile=ca)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # Browsers offer the same for WebSockets. A proxy could choose HTTP/2 otherwise.
    context.set_alpn_protocols(["http/1.1"])
    return context


def local_target(listener: LocalListener) -> ConnectTarget:
    """Return the target for the relay on this machine.

    The certificate is not verified, because it is for the public name of this machine.
    """
    context = client_context(verify=False) if listener.tls else None
    if listener.unix:
        return ConnectTarget(unix=listener.unix, tls=context)
    addresses = LOOPBACK_FOR.get(listener.host, (listener.host,))
    return ConnectTarget(addresses, listener.port, tls=context)


def url_target(url: Url) -> ConnectTarget:
    """Return the target for the health of the relay at a URL; the default path is /health.

    The certificate is verified, unless the host is a loopback address. The query is dropped.
    """
    context = client_context(verify=not is_loopback(url.host)) if url.tls else None
    path = HEALTH if url.path == "/" else url.path
    return ConnectTarget((url.host,), url.port, tls=context, name=url.host, path=path)


def parse_target(text: str) -> ConnectTarget:
    """Return the target for a URL of a relay or for ``unix:/path``.

    Raises ValueError like `parse_url`.
    """
    if not text.startswith(UNIX):
        return url_target(parse_url(text))
    path = text.removeprefix(UNIX)
    if path.startswith("///"):
        path = path.removeprefix("//")
    if not path:
        raise ValueError("it must name the socket, as in unix:/run/arc-relay.sock")
    return ConnectTarget(unix=path)


def is_loopback(host: str) -> bool:
    """Return True if a host is ``localhost`` or a loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
