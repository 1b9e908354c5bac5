"""What the system knows of a client's connection: its leaving, and what the client's system took.

All of it is asked for rarely, by the sweeper or for a side that is not read. Where the system or a
kind of stream cannot tell, the answer is the one that blames nobody.
"""

from __future__ import annotations

import fcntl
import resource
import termios
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is called so nowhere else
from typing import Final, NamedTuple

import trio

from ..limits.client_address import UNIX

__all__ = [
    "AckState",
    "ack_state",
    "descriptor_limit",
    "peer_address",
    "pending",
    "socket_of",
    "unsent_bytes",
]

# struct tcp_info of linux/tcp.h as far as tcpi_bytes_acked: retransmissions and window probes that
# are not answered, milliseconds since the last acknowledgement, bytes acknowledged in all.
TCP_INFO: Final = Struct("=2xBB52xI60xQ")
COUNT: Final = Struct("i")


class AckState(NamedTuple):
    """How a client's system takes what was sent to it."""

    acked_bytes: int = 0
    """A figure that grows with each byte that it takes; 0 where that is not known."""
    seconds_since_ack: float = 0.0
    """Seconds since it acknowledged anything, if something waits for an answer; otherwise 0.

    A system whose program does not read still answers, so this is not 0 for long unless the
    network or the whole client is gone.
    """
    unacked_probes: int = 0
    """How often in a row it was sent the same, or asked whether it has room, and did not answer."""


def socket_of(stream: trio.abc.AsyncResource) -> trio.socket.SocketType | None:
    """Return the socket below a stream, also under TLS; None if there is none."""
    stream = getattr(stream, "transport_stream", stream)  # TLS has one
    return stream.socket if isinstance(stream, trio.SocketStream) else None


def peer_address(stream: trio.abc.AsyncResource) -> str:
    """Return the address that a stream comes from, `UNIX` for a Unix socket, "" if it has none."""
    sock = socket_of(stream)
    if sock is None:
        return ""
    if sock.family not in (trio.socket.AF_INET, trio.socket.AF_INET6):
        return UNIX
    try:
        return str(sock.getpeername()[0])
    except OSError:  # it is gone already
        return ""


def descriptor_limit() -> int:
    """Return how many descriptors this process may have open; 0 if there is no limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if limit == resource.RLIM_INFINITY else limit


def ack_state(sock: trio.socket.SocketType) -> AckState:
    """Return how the client's system takes what was sent to it (Linux).

    On TCP it acknowledges bytes. On a Unix socket bytes that it took leave the send queue, which
    is all that can be seen: the figure grows towards 0 while nothing more is sent.
    """
    try:
        info = sock.getsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_INFO, TCP_INFO.size)
        retransmits, probes, silence, taken = TCP_INFO.unpack(info)
    except (OSError, AttributeError, StructError):  # no TCP, no Linux, an old kernel
        return AckState(-unsent_bytes(sock))
    vain = retransmits + probes
    return AckState(taken, silence / 1000 if vain else 0.0, vain)


def unsent_bytes(sock: trio.socket.SocketType) -> int:
    """Return how many bytes sent the client's system has not taken yet (tcp(7), unix(7))."""
    return ask_for_count(sock, termios.TIOCOUTQ)


def pending(sock: trio.socket.SocketType) -> int:
    """Return how many bytes came that the relay has not read yet (tcp(7), unix(7))."""
    return ask_for_count(sock, termios.FIONREAD)


def ask_for_count(sock: trio.socket.SocketType, request: int) -> int:
    """Return the answer to an ioctl that is a number of bytes; 0 where there is none."""
    try:
        (count,) = COUNT.unpack(fcntl.ioctl(sock.fileno(), request, bytes(COUNT.size)))
    except (OSError, ValueError):  # a system that cannot tell, or closed
        return 0
    return int(count)
