"""Parse the URLs that the commands accept, and return targets for connections."""

from __future__ import annotations

import ipaddress
import ssl
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
"""Loopback addresses of a relay on this machine, keyed by the wildcard address of its listener."""


@dataclass(frozen=True, slots=True)
class Url:
    """Parsed URL of a relay; path and query are encoded as in a request line."""

    tls: bool = False
    host: str = "localhost"
    """Host name in ASCII form, or address without brackets."""
    port: int = 80
    path: str = "/"
    query: str = field(default="", repr=False)
    """Query, which must not be logged or displayed, because it may hold a pair code or a token."""
    unix: str = ""
    """Path of a Unix socket, which replaces host and port; "" for none."""

    @property
    def authority(self) -> str:
        """Value of the Host header: host and port, without the default port of the scheme."""
        host = bracketed(self.host)
        return host if self.port == default_port(self.tls) else f"{host}:{self.port}"

    def target(self, tls: ssl.SSLContext | None) -> ConnectTarget:
        """Return the target for connections to this URL."""
        if self.unix:
            return ConnectTarget(unix=self.unix)
        return ConnectTarget((self.host,), self.port, tls=tls, name=self.host)

    def __str__(self) -> str:
        if self.unix:
            return f"{UNIX}{self.unix}"
        return f"{'wss' if self.tls else 'ws'}://{self.authority}{self.path}"


def default_port(tls: bool) -> int:
    """Return the default port of a scheme with or without TLS."""
    return 443 if tls else 80


def parse_url(text: str) -> Url:
    """Parse a ws, wss, http or https URL, or ``unix:/path``.

    Raises ValueError with a message of one line, which does not quote the text.
    """
    if text.startswith(UNIX):
        return Url(unix=socket_path(text.removeprefix(UNIX)))
    try:
        parts = urlsplit(text)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:
        raise ValueError("URL must have a valid host and port") from None
    if parts.scheme not in SCHEMES or not host:
        raise ValueError(
            "URL must be like wss://relay.example/ (ws, wss, http or https) or unix:/path"
        )
    if parts.username is not None:
        raise ValueError("URL must not hold a user name or a password")
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

    The certificate of the relay is not verified, because it names this machine's public host name.
    """
    context = client_context(verify=False) if settings.tls_cert else None
    if not settings.tcp:
        return ConnectTarget(unix=settings.unix_socket, tls=context)
    addresses = LOOPBACK_FOR.get(settings.host, (settings.host,))
    return ConnectTarget(addresses, settings.port, tls=context)


def socket_path(text: str) -> str:
    """Return the path in a ``unix:`` URL; raise ValueError if the path is empty."""
    path = text.removeprefix("//") if text.startswith("///") else text
    if not path:
        raise ValueError("URL must have the path of a socket, as in unix:/run/arc-relay.sock")
    return path


def parse_target(text: str) -> ConnectTarget:
    """Return the target for requests to the relay at a URL; the default path is /health.

    The certificate is verified, unless the host is a loopback address. The query is dropped.
    Raises ValueError like `parse_url`.
    """
    url = parse_url(text)
    context = client_context(verify=not is_loopback(url.host)) if url.tls else None
    target = url.target(context)
    return target if url.path == "/" else replace(target, path=url.path)


def is_loopback(host: str) -> bool:
    """Return True if a host is ``localhost`` or a loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
