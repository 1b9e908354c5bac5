"""Parse the URL of a relay."""

from __future__ import annotations

import ipaddress
import ssl
import string
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlsplit

from .dial import UNIX, ConnectTarget, bracketed

SCHEMES: Final = {"ws": False, "http": False, "wss": True, "https": True}
"""Accepted URL schemes; True if the scheme uses TLS."""


@dataclass(frozen=True, slots=True)
class Url:
    """Parsed URL of a relay. Its path and query are quoted for a request line."""

    tls: bool = False
    host: str = "localhost"
    """Host name in ASCII form, or IP address without brackets."""
    port: int = 80
    path: str = "/"
    query: str = field(default="", repr=False)
    """Query. It must not be logged or displayed, because it may contain a pair code or a token."""
    unix: str = ""
    """Path of a Unix socket that is used in place of host and port; "" for none."""

    @property
    def authority(self) -> str:
        """Value of the Host header: the host, and the port unless it is the scheme's default."""
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
    """Return the default port for a connection with or without TLS."""
    return 443 if tls else 80


def parse_url(text: str) -> Url:
    """Parse a ws, wss, http or https URL, or ``unix:/path``.

    Raises ValueError if the text is not valid. The message has one line and quotes no text.
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


def socket_path(text: str) -> str:
    """Return the path from the rest of a ``unix:`` URL. Raises ValueError if the path is empty."""
    path = text.removeprefix("//") if text.startswith("///") else text
    if not path:
        raise ValueError("URL must have the path of a socket, as in unix:/run/arc-relay.sock")
    return path


def is_loopback(host: str) -> bool:
    """Return True if a host is ``localhost`` or a loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
