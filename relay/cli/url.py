"""URLs of the commands, and the targets that they name."""

from __future__ import annotations

import ipaddress
import string
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote, urlsplit

from ..daemon.settings import DaemonSettings
from .client import UNIX, ConnectTarget, bracketed, client_context

SCHEMES: Final = {"ws": False, "http": False, "wss": True, "https": True}
"""Accepted URL schemes; True if the scheme uses TLS."""

LOOPBACK_FOR: Final = {
    "*": ("127.0.0.1", "::1"),
    "0.0.0.0": ("127.0.0.1",),  # noqa: S104 - a key; nothing is bound to it
    "::": ("::1",),
}
"""Addresses that reach, from its own machine, a relay that listens on every interface."""


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
        host = bracketed(self.host)
        return host if self.port == default_port(self.tls) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{'wss' if self.tls else 'ws'}://{self.authority}{self.path}"


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


def local_target(settings: DaemonSettings) -> ConnectTarget:
    """Return the target for the relay on this machine that has these settings.

    The certificate is not verified, because it is for the public name of this machine.
    """
    context = client_context(verify=False) if settings.tls_cert else None
    if not settings.tcp:
        return ConnectTarget(unix=settings.unix_socket, tls=context)
    addresses = LOOPBACK_FOR.get(settings.host, (settings.host,))
    return ConnectTarget(addresses, settings.port, tls=context)


def url_target(url: Url) -> ConnectTarget:
    """Return the target for the health of the relay at a URL; the default path is /health.

    The certificate is verified, unless the host is a loopback address. The query is dropped.
    """
    context = client_context(verify=not is_loopback(url.host)) if url.tls else None
    target = ConnectTarget((url.host,), url.port, tls=context, name=url.host)
    return target if url.path == "/" else replace(target, path=url.path)


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
