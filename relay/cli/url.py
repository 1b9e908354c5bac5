"""Where a command is to connect: a URL or the settings taken apart, and whom to trust there."""

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
"""Whether there is TLS below."""

HEALTH: Final = "/health"

LOOPBACK_FOR: Final = {
    "": ("127.0.0.1", "::1"),
    "*": ("127.0.0.1", "::1"),
    "0.0.0.0": ("127.0.0.1",),  # noqa: S104 - it is what this is not about
    "::": ("::1",),
}
"""Where a relay that listens on every interface is found from its own machine."""

UNIX: Final = "unix:"


@dataclass(frozen=True, slots=True)
class Url:
    """A URL of a relay; path and query are as they stand in a request line."""

    tls: bool
    host: str
    """A name in its ASCII form, or an address without brackets."""
    port: int
    path: str
    query: str = field(repr=False)
    """It may hold a pair code or a token, so it is for the relay alone."""

    @property
    def authority(self) -> str:
        """Host and port as in a Host header: without the port that goes without saying."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == default_port(self.tls) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{'wss' if self.tls else 'ws'}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True)
class LocalListener:
    """Where the relay of this machine listens: those of the settings of ``start`` that tell.

    With a ``unix`` path, that is asked, and host and port are not.
    """

    host: str
    port: int
    unix: str = ""
    tls: bool = False


@dataclass(frozen=True, slots=True)
class ConnectTarget:
    """Whom to ask: a unix path, or the first of these addresses that takes a connection."""

    addresses: tuple[str, ...] = ()
    port: int = 0
    unix: str = ""
    tls: ssl.SSLContext | None = None
    """None is no TLS."""
    name: str = "localhost"
    """The host of the request, and of the certificate if that is verified."""
    path: str = HEALTH

    def __str__(self) -> str:
        if self.unix:
            return f"{UNIX}{self.unix}"
        hosts = (f"[{host}]" if ":" in host else host for host in self.addresses)
        return " and ".join(f"{host}:{self.port}" for host in hosts)


def default_port(tls: bool) -> int:
    """Return the port of a URL that names none."""
    return 443 if tls else 80


def parse_url(text: str) -> Url:
    """Return the parts of a ws, wss, http or https URL.

    Raises ValueError with one line that says what is wrong, and does not quote the text.
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
    """Return how to speak TLS to a relay: trusting the system's authorities, or those in ca alone.

    Without ``verify``, whoever answers is trusted. Raises OSError if ca cannot be read, or holds no
    certificate (ssl.SSLError).
    """
    if verify:
        context = ssl.create_default_context(cafile=ca)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # As browsers say for a WebSocket; a proxy could choose HTTP/2 otherwise.
    context.set_alpn_protocols(["http/1.1"])
    return context


def local_target(listener: LocalListener) -> ConnectTarget:
    """Return how to ask the relay of this machine.

    Its certificate is not verified: it is for the name that others know this machine by.
    """
    context = client_context(verify=False) if listener.tls else None
    if listener.unix:
        return ConnectTarget(unix=listener.unix, tls=context)
    addresses = LOOPBACK_FOR.get(listener.host, (listener.host,))
    return ConnectTarget(addresses, listener.port, tls=context)


def url_target(url: Url) -> ConnectTarget:
    """Return how to ask the relay at a URL, at /health if it has no path of its own.

    Its certificate is verified, unless the host is this machine. The query is for others.
    """
    context = client_context(verify=not is_loopback(url.host)) if url.tls else None
    path = HEALTH if url.path == "/" else url.path
    return ConnectTarget((url.host,), url.port, tls=context, name=url.host, path=path)


def parse_target(text: str) -> ConnectTarget:
    """Return how to ask at a URL of a relay, or at ``unix:/path``.

    Raises ValueError, as `parse_url` does, if it is neither.
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
    """Return whether a host is this machine by any network's rules."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
