"""Request the health of a relay over HTTP.

The module uses sockets and the HTTP client of the standard library, without an event loop.
"""

from __future__ import annotations

import http.client
import io
import json
import socket
import ssl
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, cast

from .url import ConnectTarget

__all__ = ["Health", "check_health"]

TIMEOUT: Final = 5.0
"""Seconds after which a relay that has not answered counts as unhealthy."""

MAX_BODY: Final = 64 * 1024
"""Maximum bytes read from a response body; that of a relay has fewer than a hundred."""


@dataclass(frozen=True, slots=True)
class Health:
    """Result of a health check."""

    healthy: bool
    text: str
    """Number of pairs, or the problem, in one line."""
    pairs: int | None = None
    """Codes in use; None if the relay is not healthy."""

    def __str__(self) -> str:
        return f"{'healthy' if self.healthy else 'unhealthy'}: {self.text}"


def check_health(target: ConnectTarget, timeout: float = TIMEOUT) -> Health:
    """Request the health of a relay. No behaviour of the server raises an exception.

    The check takes at most ``timeout`` seconds, plus the time to resolve a name.
    """
    deadline = time.monotonic() + timeout
    try:
        with closing(connect(target, deadline)) as stream:
            status, body = ask(target, stream, deadline)
    except TimeoutError:
        return Health(False, f"no answer within {timeout:g} s from {target}")
    except ssl.SSLError as error:
        reason = (error.reason or "it ended in the handshake").lower().replace("_", " ")
        why = getattr(error, "verify_message", "") or reason
        return Health(False, f"no TLS with {target}: {why}")
    except http.client.HTTPException:
        return Health(False, f"no HTTP answer from {target}")
    except (OSError, ValueError) as error:
        known = getattr(error, "strerror", None)
        return Health(False, f"{known.lower() if known else error} at {target}")
    return judge(target, status, body)


def connect(target: ConnectTarget, deadline: float) -> socket.socket:
    """Connect to a target, with TLS if it has a context; raise OSError on failure."""
    stream = connect_unix(target, deadline) if target.unix else connect_tcp(target, deadline)
    if target.tls is None:
        return stream
    try:
        return target.tls.wrap_socket(stream, server_hostname=target.name)
    except BaseException:
        stream.close()
        raise


def connect_unix(target: ConnectTarget, deadline: float) -> socket.socket:
    """Connect to the unix socket of a target."""
    return connected(socket.AF_UNIX, target.unix, deadline)


def connect_tcp(target: ConnectTarget, deadline: float) -> socket.socket:
    """Connect to the first address of a target that accepts the connection."""
    failure: OSError = OSError("no address")
    for host in target.addresses:
        for family, _, _, _, address in socket.getaddrinfo(
            host, target.port, type=socket.SOCK_STREAM
        ):
            try:
                return connected(family, address, deadline)
            except OSError as error:
                failure = error
    raise failure


def connected(family: int, address: Any, deadline: float) -> socket.socket:
    """Return a new socket that is connected to an address before the deadline."""
    stream = socket.socket(family)
    try:
        stream.settimeout(left(deadline))
        stream.connect(address)
    except BaseException:
        stream.close()
        raise
    return stream


def left(deadline: float) -> float:
    """Return the seconds until the deadline; raise TimeoutError if it has passed."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class Reading(io.RawIOBase):
    """Raw stream that reads from a socket until one deadline for all reads together."""

    def __init__(self, stream: socket.socket, deadline: float) -> None:
        super().__init__()
        self._stream = stream
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._stream.settimeout(left(self._deadline))
        return self._stream.recv_into(buffer)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a buffered reader, as `http.client.HTTPResponse` requests it from a socket."""
        return io.BufferedReader(self)


def ask(target: ConnectTarget, stream: socket.socket, deadline: float) -> tuple[int, bytes]:
    """Request the path of a target; return the status and the body of the response."""
    name = f"[{target.name}]" if ":" in target.name else target.name
    request = f"GET {target.path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
    stream.settimeout(left(deadline))
    stream.sendall(request.encode())
    # http.client parses the response, and `Reading` reads it: a socket timeout applies to each
    # single read, but a health check needs one deadline for the whole response.
    with closing(
        http.client.HTTPResponse(cast(socket.socket, Reading(stream, deadline)))
    ) as answer:
        answer.begin()
        return answer.status, answer.read(MAX_BODY)


def judge(target: ConnectTarget, status: int, body: bytes) -> Health:
    """Return the health that a response reports."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or "ok" not in said:
        return Health(False, f"HTTP {status}, and not from an arc-relay, at {target}")
    if said.get("draining"):
        return Health(False, "draining")
    pairs = said.get("pairs")
    if status != http.client.OK or not said["ok"] or not isinstance(pairs, int):
        return Health(False, f"HTTP {status} at {target}")
    return Health(True, f"{pairs} pair{'' if pairs == 1 else 's'}", pairs)
