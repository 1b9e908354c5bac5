"""One question to a relay, and its answer: is it well?

Sockets, and the HTTP of the standard library; no event loop.
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
"""Seconds until a relay that does not answer counts as unhealthy."""

MAX_BODY: Final = 64 * 1024
"""Bytes that are read of an answer; a relay's has fewer than a hundred."""


@dataclass(frozen=True, slots=True)
class Health:
    """What came of asking."""

    healthy: bool
    text: str
    """One line: how many pairs, or what is wrong."""
    pairs: int | None = None
    """Codes in use; None if it is not healthy."""

    def __str__(self) -> str:
        return f"{'healthy' if self.healthy else 'unhealthy'}: {self.text}"


def check_health(target: ConnectTarget, timeout: float = TIMEOUT) -> Health:
    """Ask for the health of a relay; never raises for what is at the other end.

    It takes ``timeout`` seconds at most, besides what the system takes to resolve a name.
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
    """Return a connection to the target, under TLS if it has that; raise OSError if it has none."""
    stream = connect_unix(target, deadline) if target.unix else connect_tcp(target, deadline)
    if target.tls is None:
        return stream
    try:
        return target.tls.wrap_socket(stream, server_hostname=target.name)
    except BaseException:
        stream.close()
        raise


def connect_unix(target: ConnectTarget, deadline: float) -> socket.socket:
    """Return a connection to the target's unix path."""
    return connected(socket.AF_UNIX, target.unix, deadline)


def connect_tcp(target: ConnectTarget, deadline: float) -> socket.socket:
    """Return a connection to the first of the target's addresses that takes one."""
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
    """Return a new socket, connected to an address before the deadline."""
    stream = socket.socket(family)
    try:
        stream.settimeout(left(deadline))
        stream.connect(address)
    except BaseException:
        stream.close()
        raise
    return stream


def left(deadline: float) -> float:
    """Return the seconds until the deadline; raise TimeoutError if there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class Reading(io.RawIOBase):
    """The reading end of a socket, up to a deadline, however the bytes trickle in."""

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
        """Return the file that `http.client.HTTPResponse` asks of what it takes for a socket."""
        return io.BufferedReader(self)


def ask(target: ConnectTarget, stream: socket.socket, deadline: float) -> tuple[int, bytes]:
    """Return the status and the body of the answer to a request for the target's path."""
    name = f"[{target.name}]" if ":" in target.name else target.name
    request = f"GET {target.path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
    stream.settimeout(left(deadline))
    stream.sendall(request.encode())
    # Taken apart by `http.client`, but read by `Reading`: a time limit of a socket is one for
    # each read, and a container's health check has one for all of it.
    with closing(
        http.client.HTTPResponse(cast(socket.socket, Reading(stream, deadline)))
    ) as answer:
        answer.begin()
        return answer.status, answer.read(MAX_BODY)


def judge(target: ConnectTarget, status: int, body: bytes) -> Health:
    """Return what an answer means."""
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
