"""The choice of the wire for a stream."""

from __future__ import annotations

import trio

from .base import Transport
from .epoll_reader import EpollReader
from .socket_transport import SocketTransport
from .stream_transport import StreamTransport
from .tls_transport import TLSSocket, TLSTransport

__all__ = ["wrap_stream"]


def wrap_stream(
    stream: trio.abc.Stream | TLSSocket, nursery: trio.Nursery, reader: EpollReader | None = None
) -> Transport:
    """Return the fastest wire for this stream.

    The nursery is for what is written while nobody waits for it, and must outlive the wire, as the
    lookout must, without which a wire does all of its reading in the task that waits for it.
    """
    if isinstance(stream, TLSSocket):
        return TLSTransport(stream, nursery, reader)
    if isinstance(stream, trio.SocketStream):
        return SocketTransport(stream, nursery, reader)
    return StreamTransport(stream, nursery, reader)
