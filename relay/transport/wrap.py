"""Choose the transport for a stream."""

from __future__ import annotations

import trio

from .accepted_socket import Accepted, AcceptedSocket
from .base import Transport
from .epoll_reader import EpollReader
from .socket_transport import SocketTransport
from .stream_transport import StreamTransport
from .tls_transport import TLSTransport


def wrap_stream(
    stream: Accepted, nursery: trio.Nursery, reader: EpollReader | None = None
) -> Transport:
    """Return the fastest transport for a stream.

    ``nursery`` runs the writes that no task waits for. The nursery and the epoll reader must stay
    open until the transport is closed. Without an epoll reader, the task that waits for data reads
    the descriptor itself.
    """
    if isinstance(stream, AcceptedSocket) and stream.context is not None:
        return TLSTransport(stream.socket, stream.context, nursery, reader)
    if isinstance(stream, AcceptedSocket | trio.SocketStream):
        return SocketTransport(stream.socket, nursery, reader)
    return StreamTransport(stream, nursery, reader)
