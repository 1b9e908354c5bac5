"""What the system knows of a client's connection: its leaving, and what the client's system took.

All of it is asked for rarely, by the sweeper or for a side that is not read. Where the system or a
kind of stream cannot tell, the answer is the one that blames nobody.
"""

from __future__ import annotations

import fcntl
import resource
import select
import termios
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is called so nowhere else
from typing import Final, NamedTuple

import trio

from .address import UNIX

__all__ = [
    "Uptake",
    "descriptor_limit",
    "peer_of",
    "queued",
    "socket_of",
    "uptake",
    "wait_hangup",
]

# struct tcp_info of linux/tcp.h as far as tcpi_bytes_acked: retransmissions and window probes that
# are not answered, milliseconds since the last acknowledgement, bytes acknowledged in all.
TCP_INFO: Final = Struct("=2xBB52xI60xQ")
COUNT: Final = Struct("i")


class Uptake(NamedTuple):
    """How a client's system takes what was sent to it."""

    taken: int = 0
    """Bytes that it acknowledged since the connection began; 0 where that is not known."""
    unanswered: float = 0.0
    """Seconds since it acknowledged anything, if something waits for an answer; otherwise 0.

    A system whose program does not read still answers, so this is not 0 for long unless the
    network or the whole client is gone.
    """
    vain: int = 0
    """How often in a row it was sent the same, or asked whether it has room, and did not answer."""


def socket_of(stream: trio.abc.AsyncResource) -> trio.socket.SocketType | None:
    """Return the socket below a stream, also under TLS; None if there is none."""
    stream = getattr(stream, "transport_stream", stream)  # TLS has one
    return stream.socket if isinstance(stream, trio.SocketStream) else None


def peer_of(stream: trio.abc.AsyncResource) -> str:
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


def uptake(sock: trio.socket.SocketType) -> Uptake:
    """Return how the client's system takes what was sent to it (Linux, TCP)."""
    try:
        info = sock.getsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_INFO, TCP_INFO.size)
        retransmits, probes, silence, taken = TCP_INFO.unpack(info)
    except (OSError, AttributeError, StructError):  # no TCP, no Linux, an old kernel
        return Uptake()
    vain = retransmits + probes
    return Uptake(taken, silence / 1000 if vain else 0.0, vain)


def queued(sock: trio.socket.SocketType) -> int:
    """Return how many bytes sent the client's system has not taken yet (tcp(7), unix(7))."""
    try:
        (count,) = COUNT.unpack(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(COUNT.size)))
    except (OSError, ValueError):  # a system that cannot tell, or closed
        return 0
    return int(count)


async def wait_hangup(sock: trio.socket.SocketType | None) -> bool:
    """Wait until the client left, without reading; return whether by a reset.

    Waits forever where that cannot be known.
    """
    if sock is None or not hasattr(select, "EPOLLRDHUP"):
        await trio.sleep_forever()
    try:
        hangup = select.epoll()
    except OSError:  # out of descriptors: what the client sent is worth more than its leaving
        await trio.sleep_forever()
    # trio waits for data or room, not for a hang-up alone; but an epoll set is itself readable
    # once one of its events is there.
    with hangup:
        hangup.register(sock.fileno(), select.EPOLLRDHUP)
        await trio.lowlevel.wait_readable(hangup.fileno())
        return any(events & select.EPOLLERR for _, events in hangup.poll(0))
