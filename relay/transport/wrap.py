"""The choice of the wire for a stream."""

from __future__ import annotations

import trio

from .base import Wire
from .epoll_reader import Lookout
from .socket_transport import SocketWire
from .stream_transport import StreamWire
from .tls_transport import TlsSocket, TlsWire

__all__ = ["open_wire"]


def open_wire(
    stream: trio.abc.Stream | TlsSocket, nursery: trio.Nursery, lookout: Lookout | None = None
) -> Wire:
    """Return the fastest wire for this stream.

    The nursery is for what is written while nobody waits for it, and must outlive the wire, as the
    lookout must, without which a wire does all of its reading in the task that waits for it.
    """
    if isinstance(stream, TlsSocket):
        return TlsWire(stream, nursery, lookout)
    if isinstance(stream, trio.SocketStream):
        return SocketWire(stream, nursery, lookout)
    return StreamWire(stream, nursery, lookout)
