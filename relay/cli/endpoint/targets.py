"""Targets of `arc-relay share`, and addresses of sockets. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from ...client.dial import bracketed
from ...daemon.errors import os_error_text
from ...daemon.settings import split_address

UNIX: Final = "unix:"
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Address:
    """Address of a Unix socket if there is a path, and of a TCP socket otherwise."""

    host: str = LOOPBACK
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return f"{UNIX}{self.path}" if self.path else f"{bracketed(self.host)}:{self.port}"


Command = tuple[str, ...]  # program and arguments, which run once for each guest


def parse_target(words: Sequence[str]) -> Address | Command | None:
    """Parse the arguments of `share` that give the target. Return None for ``-``.

    Raises ValueError. The message does not quote the arguments, which may be a link by mistake.
    """
    first, *others = words or ("",)
    if first == "--":
        if not others:
            raise ValueError("a command must follow --")
        return tuple(others)
    if others:
        raise ValueError("the target must be one word; a command follows --, as in: share -- bash")
    if first == "-":
        return None
    with error_prefix("the target must be ssh, PORT, HOST:PORT, unix:PATH, - or -- COMMAND"):
        return parse_address("22" if first == "ssh" else first)


def parse_address(text: str) -> Address:
    """Parse ``PORT``, ``:PORT``, ``HOST:PORT``, ``[IPV6]:PORT`` or ``unix:PATH``.

    The default host is the loopback address. Raises ValueError like `parse_target`.
    """
    if text.startswith(UNIX):
        if text == UNIX:
            raise ValueError("unix: must be followed by the path of a socket")
        return Address(path=text.removeprefix(UNIX))
    text = f":{text}" if text.isdecimal() else text
    try:
        host, port = split_address(f"{LOOPBACK}{text}" if text.startswith(":") else text)
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("give a port from 1 to 65535, and IPv6 in brackets, as in [::1]:80")
    return Address(host, port)


@contextmanager
def error_prefix(prefix: str) -> Iterator[None]:
    """Turn an OSError or ValueError into a ValueError whose message begins with a prefix."""
    try:
        yield
    except (OSError, ValueError) as error:
        text = os_error_text(error) if isinstance(error, OSError) else str(error)
        raise ValueError(f"{prefix}: {text}") from None
