"""Pairs of clients: two connected sockets that reach each other.

Opening and closing are generators that yield wherever they would wait for the peer, so that many
can be interleaved over blocking sockets without a barrier between them.
"""

from __future__ import annotations

import itertools
import secrets
import socket
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from .children import Pairing, Running, raise_descriptor_limit
from .frames import CLOSE, frame
from .tls_socket import TLSSocket

TIMEOUT = 10.0
"""Maximum number of seconds of any wait for a peer."""
WIDTH = 32
"""Number of pairs that are opened concurrently: enough to load a peer, below any backlog."""

_SOURCES = 8
_CLOSE = frame((1000).to_bytes(2), masked=True, opcode=CLOSE)
_numbers = itertools.count()
_run = secrets.token_hex(4)
_T = TypeVar("_T")


class LoadError(Exception):
    """Failure of the load, with the behaviour of the peer."""


class Pair(NamedTuple):
    """Two ends of one pair, blocking, with a timeout."""

    a: socket.socket
    b: socket.socket

    def drop(self) -> None:
        """Close both ends without a close frame."""
        self.a.close()
        self.b.close()


def connect(peer: Running) -> socket.socket:
    """Connect one end, over TLS if the peer does, with no pairing done yet."""
    (end,) = interleaved(iter([connecting(peer)]))
    return end


def connecting(peer: Running) -> Generator[None, None, socket.socket]:
    """Connect one end."""
    end = _connect_tcp(peer)
    if peer.tls is None:
        return end
    secured = TLSSocket(end, peer.tls.client, server=False)
    yield from secured.handshake()
    return secured


def _connect_tcp(peer: Running) -> socket.socket:
    end = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    end.settimeout(TIMEOUT)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A source address has 28,000 ports to a destination: several last for every workload.
    end.bind((f"127.0.0.{1 + next(_numbers) % _SOURCES}", 0))
    end.connect(("127.0.0.1", peer.port))
    return end


def new_code() -> str:
    """Return a new pair code."""
    return f"{_run}{next(_numbers):056x}"


def ask_to_pair(end: socket.socket, peer: Running, code: str) -> None:
    """Send the pairing request of this end: an upgrade, or a line."""
    if peer.pairing is Pairing.QUERY:
        end.sendall(
            b"GET /?pair=%b HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n" % code.encode()
        )
    else:
        end.sendall(b"please relay %b for side %016x\n" % (code.encode(), next(_numbers)))


def read_answer(end: socket.socket, peer: Running) -> bytes:
    """Read the response to the pairing request; return the data behind it."""
    stop, good = {
        Pairing.QUERY: (b"\r\n\r\n", b"HTTP/1.1 101 "),
        Pairing.LINE: (b"\n", b"ok"),
    }[peer.pairing]
    data = b""
    while stop not in data:
        chunk = end.recv(4096)
        if not chunk:
            raise LoadError("the peer hung up instead of pairing")
        data += chunk
    answer, _, rest = data.partition(stop)
    if not answer.startswith(good):
        raise LoadError(f"the peer answered {answer[:40]!r}")
    return rest


def _accepting(peer: Running) -> Generator[None, None, socket.socket]:
    end, _ = peer.sink.accept()
    end.settimeout(TIMEOUT)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if peer.tls is None:
        return end
    secured = TLSSocket(end, peer.tls.server, server=True)
    yield from secured.handshake()
    return secured


def opening(peer: Running) -> Generator[None, None, Pair]:
    """Open one pair."""
    a = yield from connecting(peer)
    if peer.pairing is Pairing.SPLICE:
        b = yield from _accepting(peer)
        return Pair(a, b)
    code = new_code()
    ask_to_pair(a, peer, code)
    yield
    if peer.pairing is Pairing.QUERY:
        read_answer(a, peer)
    b = yield from connecting(peer)
    ask_to_pair(b, peer, code)
    yield
    read_answer(b, peer)
    if peer.pairing is Pairing.LINE:
        read_answer(a, peer)
    return Pair(a, b)


def closing(peer: Running, pair: Pair) -> Generator[None, None, None]:
    """Close one pair from side A, with the closing handshake if there is one."""
    if peer.pairing is Pairing.QUERY:
        pair.a.sendall(_CLOSE)
        yield
        # Some relays tell side B only when side A's connection is gone.
        _read_to_the_end(pair.a)
        yield
        pair.b.recv(4096)
        pair.b.sendall(_CLOSE)
    else:
        pair.a.close()
    yield
    _read_to_the_end(pair.b)


def _read_to_the_end(end: socket.socket) -> None:
    with end:
        while end.recv(4096):
            pass


def life(peer: Running) -> Generator[None, None, None]:
    """Open one pair and close it again."""
    pair = yield from opening(peer)
    yield
    yield from closing(peer, pair)


@contextmanager
def opened(peer: Running, count: int) -> Iterator[list[Pair]]:
    """Hold `count` pairs open; open many concurrently if the peer can tell them apart."""
    needed, limit = 2 * count + 200, raise_descriptor_limit()
    if needed > limit:
        raise LoadError(f"{needed} open files are needed, {limit} allowed")
    width = 1 if peer.pairing is Pairing.SPLICE else WIDTH
    made: list[Pair] = []
    try:
        made.extend(interleaved((opening(peer) for _ in range(count)), width))
        yield made
    finally:
        for pair in made:
            pair.drop()


def interleaved(
    steps: Iterator[Generator[None, None, _T]], width: int = WIDTH
) -> Generator[_T, None, None]:
    """Run generators in turns, at most `width` concurrently; yield each one's result."""
    running: deque[Generator[None, None, _T]] = deque(itertools.islice(steps, width))
    while running:
        current = running.popleft()
        try:
            next(current)
        except StopIteration as stop:
            yield stop.value
            running.extend(itertools.islice(steps, 1))
        except (OSError, LoadError) as error:
            raise LoadError(f"a pair could not be opened or closed: {error}") from error
        else:
            running.append(current)
