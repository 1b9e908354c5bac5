"""Addresses of sockets, in the syntax that the commands accept. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...client.dial import bracketed

UNIX: Final = "unix:"
LOOPBACK: Final = "127.0.0.1"
MAX_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """Address of a TCP socket: host and port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """Address of a Unix socket: its path."""

    path: str

    def __str__(self) -> str:
        return f"{UNIX}{self.path}"


Address = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """Parse ``PORT``, ``:PORT``, ``HOST:PORT``, ``[IPV6]:PORT`` or ``unix:PATH``.

    Without a host, the address is 127.0.0.1. Raises ValueError for any other text. The message does
    not quote the text, which may be a link by mistake.
    """
    if text.startswith(UNIX):
        path = text.removeprefix(UNIX)
        if not path:
            raise ValueError("unix: must be followed by the path of a socket")
        return UnixAddress(path)
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address must be in brackets, as in [::1]:80")
    if not colon and not port.isdecimal():
        raise ValueError("it has no port")
    return TcpAddress(host or LOOPBACK, parse_port(port))


def parse_port(text: str) -> int:
    """Parse a port from 1 to 65535. Raises ValueError for any other text."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= MAX_PORT):
        raise ValueError(f"the port must be a number from 1 to {MAX_PORT}")
    return int(text)
