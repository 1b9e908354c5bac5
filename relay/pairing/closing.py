"""The closing handshake with one client (RFC 6455 section 7.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..outcomes import Close
from ..protocol.frames import close_frame, pong_or_close_reply
from ..protocol.reframer import Reframer
from ..transport.base import Transport, is_end
from ..transport.registration import Take


async def closing_handshake(
    transport: Transport,
    reframer: Reframer,
    close: Close | None,
    receive_until: Callable[[Take], Awaitable[None]],
) -> None:
    """Send a close frame, and wait for that of the client unless the client closed first.

    A client that closed first gets its close frame echoed. A client that broke a rule gets the code
    of its violation. Any other client gets ``close``, or no close frame if that is None.

    ``receive_until`` calls a function with received bytes until the function returns True. Raises
    the exceptions of ``receive_until`` and `Transport.send_all`. The caller bounds the time.
    """
    if reframer.closed:
        await transport.send_all(pong_or_close_reply(reframer.control[-1]))
    elif reframer.violation is not None:
        await transport.send_all(close_frame(*reframer.violation))
        await transport.send_eof()
        await receive_until(is_end)  # a violation leaves no frame boundary to resume at
    elif close is not None:
        await transport.send_all(close_frame(*close))

        def discard(data: bytes) -> bool:
            """Discard frames; return True after the close frame, or at the end of the stream."""
            reframer.feed(data)
            reframer.control.clear()
            return reframer.finished or not data

        await receive_until(discard)
