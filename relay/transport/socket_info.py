"""Query the kernel for the state of a socket: its queues, acknowledgements and peer address.

Only keepalive and takeover checks query queues and acknowledgements, never the path of a message.
If the platform or the stream does not report them, the result is a value that ends no side.
"""

from __future__ import annotations

import fcntl
import resource
import select
import termios
from contextlib import suppress
from struct import Struct
from struct import error as StructError  # noqa: N812 - the module has no better name for it
from typing import Final, NamedTuple

import trio

# struct tcp_info of linux/tcp.h up to tcpi_bytes_acked: tcpi_retransmits, tcpi_probes,
# tcpi_last_ack_recv in milliseconds, tcpi_bytes_acked.
TCP_INFO: Final = Struct("=2xBB52xI60xQ")
COUNT: Final = Struct("i")


class AckState(NamedTuple):
    """Acknowledgements that the kernel of a client sent."""

    acked_bytes: int = 0
    """Number that grows with each byte that the client acknowledges; 0 if unknown."""
    seconds_since_ack: float = 0.0
    """Seconds since the last acknowledgement while probes are unacknowledged, otherwise 0.

    The kernel of a client acknowledges even if its program does not read. So a large value means
    that the network or the client host failed.
    """
    unacked_probes: int = 0
    """Unacknowledged retransmissions plus zero-window probes."""


def socket_of(stream: trio.abc.AsyncResource) -> trio.socket.SocketType | None:
    """Return the socket of a stream, also below TLS, or None."""
    stream = getattr(stream, "transport_stream", stream)  # the stream below TLS
    return stream.socket if isinstance(stream, trio.SocketStream) else None


def peer_address(stream: trio.abc.AsyncResource) -> tuple[int, str]:
    """Return the address family and the IP address of the peer of a stream.

    The family is `AF_UNSPEC` for a stream without a socket. The address is "" if it is unknown, or
    if the family has no IP addresses.
    """
    sock = socket_of(stream)
    if sock is None:
        return trio.socket.AF_UNSPEC, ""
    address = ""
    if sock.family in {trio.socket.AF_INET, trio.socket.AF_INET6}:
        with suppress(OSError):  # already disconnected
            address = str(sock.getpeername()[0])
    return sock.family, address


def descriptor_limit() -> int:
    """Return the descriptor limit of this process (RLIMIT_NOFILE); 0 if there is none."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if limit == resource.RLIM_INFINITY else limit


def ack_state(sock: trio.socket.SocketType) -> AckState:
    """Return the acknowledgements on a socket, from TCP_INFO on Linux.

    A Unix socket has no acknowledgements. The substitute for acknowledged bytes is the negative
    size of the send queue, which grows towards 0 as the client reads.
    """
    try:
        info = sock.getsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_INFO, TCP_INFO.size)
        retransmits, probes, silence, acked = TCP_INFO.unpack(info)
    except (OSError, AttributeError, StructError):  # not TCP, not Linux, or an old kernel
        return AckState(-unsent_bytes(sock))
    unacked = retransmits + probes
    return AckState(acked, silence / 1000 if unacked else 0.0, unacked)


def is_readable(fd: int) -> bool:
    """Return True if a read, or the accept of a listening socket, would not have to wait."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def unsent_bytes(sock: trio.socket.SocketType) -> int:
    """Return the number of bytes in the send queue (tcp(7), unix(7))."""
    return read_count(sock, termios.TIOCOUTQ)


def pending(sock: trio.socket.SocketType) -> int:
    """Return the number of bytes in the receive queue (tcp(7), unix(7))."""
    return read_count(sock, termios.FIONREAD)


def read_count(sock: trio.socket.SocketType, request: int) -> int:
    """Return the byte count of an ioctl request, or 0 if the ioctl fails."""
    try:
        (count,) = COUNT.unpack(fcntl.ioctl(sock.fileno(), request, bytes(COUNT.size)))
    except (OSError, ValueError):  # not supported, or the socket is closed
        return 0
    return int(count)
