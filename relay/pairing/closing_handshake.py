"""Closing handshake with one client (RFC 6455 section 7.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..outcomes import Close
from ..protocol.frames import close_frame, pong_or_close_reply
from ..protocol.reframer import End, Reframer
from ..protocol.violations import Violation
from ..transport.base import Transport, is_end
from ..transport.epoll_registration import Take


async def closing_handshake(
    transport: Transport,
    reframer: Reframer,
    end: End | None,
    close: Close | None,
    receive_until: Callable[[Take], Awaitable[None]],
) -> None:
    """Send a close frame, then wait for the client's close frame unless the client closed first.

    ``end`` is the client's close frame or its violation of RFC 6455; None if there was neither. The
    relay echoes a close frame, and answers a violation with the close code of the violation. If
    ``end`` is None, the relay sends ``close``. If both are None, it sends no close frame.

    The client may violate RFC 6455 even after ``close`` was sent. After any violation, all further
    input is discarded. If the relay closed the connection with unread input, the kernel would reset
    the connection, and the reset could destroy the close frame.

    ``receive_until`` takes a function, and calls it with the bytes of each read until the function
    returns True. Raises the exceptions of ``receive_until`` and `Transport.send_all`. The caller
    limits the duration.
    """
    if isinstance(end, Violation):
        await transport.send_all(close_frame(*end))
    elif end is not None:
        await transport.send_all(pong_or_close_reply(end))
    elif close is not None:
        await transport.send_all(close_frame(*close))

        def discard(data: bytes) -> bool:
            """Discard frames. Return True after a close frame, a violation or b"" (the end)."""
            nonlocal end
            *_, end = reframer.feed(data)
            return end is not None or not data

        await receive_until(discard)
    if isinstance(end, Violation):
        await transport.send_eof()
        await receive_until(is_end)  # after a violation, the next frame boundary is unknown
