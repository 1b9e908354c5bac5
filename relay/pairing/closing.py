"""The closing handshake with one client (RFC 6455 section 7.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..outcome import Close
from ..protocol.frames import close_frame, pong_or_close_reply
from ..protocol.reframer import Reframer
from ..transport.base import Transport, is_end
from ..transport.epoll_reader import Take

__all__ = ["closing_handshake"]


async def closing_handshake(
    transport: Transport,
    reframer: Reframer,
    close: Close | None,
    receive_until: Callable[[Take], Awaitable[None]],
) -> None:
    """Send the last frame, and wait for the client's if it has not come yet.

    A client that closed first gets its close frame echoed; one that broke a rule gets the code of
    its violation; any other gets ``goodbye``, or nothing if that is None.

    ``receive_until`` gives a call what comes until that returns True. Raises what it raises, and
    `Wire.send_all`. The caller bounds the time.
    """
    if reframer.closed:
        await transport.send_all(pong_or_close_reply(reframer.control[-1]))
    elif reframer.violation is not None:
        await transport.send_all(close_frame(*reframer.violation))
        await transport.send_eof()
        await receive_until(is_end)  # there is no frame border to be found any more
    elif close is not None:
        await transport.send_all(close_frame(*close))

        def discard(data: bytes) -> bool:
            """Discard data and pings; return True after the client's close frame, or its end."""
            reframer.feed(data)
            reframer.control.clear()
            return reframer.finished or not data

        await receive_until(discard)
