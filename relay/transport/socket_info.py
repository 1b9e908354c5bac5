"""Query the kernel for facts about a socket: queues, acknowledgements and peer address.

Keepalive and takeover checks query the queues and the acknowledgements. Forwarding a message needs
no query. If the platform or the stream does not report a fact, the query returns a default value,
which never causes a check to end a side.
"""

from __future__ import annotations

import fcntl
import termios
from contextlib import suppress
from struct import Struct
from struct import error as StructError  # noqa: N812 - the module has no better name for it
from typing import Final, NamedTuple

import trio

from .accepted_socket import AcceptedSocket, Socket

# Fields of struct tcp_info in linux/tcp.h: tcpi_retransmits, tcpi_probes, tcpi_last_ack_recv in
# milliseconds, tcpi_bytes_acked.
TCP_INFO: Final = Struct("=2xBB52xI60xQ")
COUNT: Final = Struct("i")


class AckState(NamedTuple):
    """Acknowledgements that the client's kernel has sent."""

    acked_bytes: int = 0
    """Count that increases with each acknowledged byte; 0 if unknown."""
    seconds_since_ack: float = 0.0
    """Seconds since the last acknowledgement; 0 if all probes are acknowledged.

    The client's kernel sends acknowledgements even if the client's program does not read. So a
    large value means that the network or the client's machine has failed.
    """
    unacked_probes: int = 0
    """Number of unacknowledged probes, that is, retransmissions and zero-window probes."""


def socket_of(stream: trio.abc.AsyncResource) -> Socket | None:
    """Return the socket of a stream, with or without TLS; None if there is no socket."""
    stream = getattr(stream, "transport_stream", stream)  # the stream below TLS
    return stream.socket if isinstance(stream, AcceptedSocket | trio.SocketStream) else None


def peer_address(stream: trio.abc.AsyncResource) -> tuple[int, str]:
    """Return the address family and the IP address of a stream's remote end.

    The family is `AF_UNSPEC` if the stream has no socket. The address is "" if it is unknown, or if
    the family has no IP addresses.
    """
    sock = socket_of(stream)
    if sock is None:
        return trio.socket.AF_UNSPEC, ""
    address = ""
    if sock.family in {trio.socket.AF_INET, trio.socket.AF_INET6}:
        with suppress(OSError):  # already disconnected
            address = str(sock.getpeername()[0])
    return sock.family, address


def ack_state(sock: Socket) -> AckState:
    """Return the acknowledgements that a socket has received.

    For a TCP socket on Linux, TCP_INFO reports them. For any other socket, `AckState.acked_bytes`
    is minus the number of bytes in the send queue, so it rises towards 0 while the client reads.
    """
    try:
        info = sock.getsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_INFO, TCP_INFO.size)
        retransmits, probes, silence, acked = TCP_INFO.unpack(info)
    except (OSError, AttributeError, StructError):  # not TCP, not Linux, or an old kernel
        return AckState(-unsent_bytes(sock))
    unacked = retransmits + probes
    return AckState(acked, silence / 1000 if unacked else 0.0, unacked)


def unsent_bytes(sock: Socket) -> int:
    """Return the number of bytes in the send queue of a socket (tcp(7), unix(7))."""
    return read_count(sock, termios.TIOCOUTQ)


def pending(sock: Socket) -> int:
    """Return the number of bytes in the receive queue of a socket (tcp(7), unix(7))."""
    return read_count(sock, termios.FIONREAD)


def read_count(sock: Socket, request: int) -> int:
    """Return the byte count that an ioctl request reports, or 0 if the ioctl fails."""
    try:
        (count,) = COUNT.unpack(fcntl.ioctl(sock.fileno(), request, bytes(COUNT.size)))
    except (OSError, ValueError):  # not supported, or the socket is closed
        return 0
    return int(count)
