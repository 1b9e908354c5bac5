"""Parse the URL of a relay."""

from __future__ import annotations

import ipaddress
import re
import ssl
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlsplit

from .dial import UNIX, ConnectTarget, bracketed

# Schemes of the URL of a relay. The first two are those of WebSockets.
SCHEMES: Final = ("wss", "ws", "https", "http")

DEFAULT_PORTS: Final = (80, 443)  # without TLS, and with TLS


@dataclass(frozen=True, slots=True)
class Url:
    """Parsed URL of a relay. Its path and query are quoted for a request line."""

    tls: bool = False
    host: str = "localhost"  # host name in ASCII form, or IP address without brackets
    port: int = 80
    path: str = "/"
    # Query. It must not be logged or displayed, because it may contain a pair code or a token.
    query: str = field(default="", repr=False)
    unix: str = ""  # path of a Unix socket that is used in place of host and port; "" for none

    @property
    def authority(self) -> str:
        """Value of the Host header: the host, and the port unless it is the scheme's default."""
        host = bracketed(self.host)
        return host if self.port == DEFAULT_PORTS[self.tls] else f"{host}:{self.port}"

    def target(self, tls: ssl.SSLContext | None) -> ConnectTarget:
        """Return the target for connections to this URL."""
        if self.unix:
            return ConnectTarget(unix=self.unix)
        return ConnectTarget((self.host,), self.port, tls=tls, name=self.host)

    def __str__(self) -> str:
        if self.unix:
            return f"{UNIX}{self.unix}"
        return f"{'wss' if self.tls else 'ws'}://{self.authority}{self.path}"


def parse_url(text: str, name: str = "URL", schemes: Sequence[str] = (*SCHEMES, "unix")) -> Url:
    """Parse a URL with one of the schemes; ``unix:/path`` for the path of a Unix socket.

    Raises ValueError if the text is not valid. The message has one line. It begins with ``name``,
    and quotes no text.
    """
    if text.startswith(UNIX) and "unix" in schemes:
        return Url(unix=socket_path(text.removeprefix(UNIX)))
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
        if ":" in host:
            host = str(ipaddress.IPv6Address(host))
    except ValueError:
        raise ValueError(f"{name} must have a valid host and port") from None
    if parts.scheme not in schemes:
        prefixes = (f"{each}:" if each == "unix" else f"{each}://" for each in schemes)
        raise ValueError(f"{name} must begin with {' or '.join(prefixes)}")
    if port == 0 or re.fullmatch(r"[a-z0-9._-]+|.*:.*", host) is None:
        raise ValueError(f"{name} must have a valid host and port")
    if parts.username is not None:
        raise ValueError(f"{name} must not have a user name or a password")
    tls = parts.scheme in {"wss", "https"}
    return Url(
        tls=tls,
        host=host,
        port=port or DEFAULT_PORTS[tls],
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
