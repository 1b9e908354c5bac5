"""The closing handshake with one client (RFC 6455 section 7.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..outcome import Goodbye
from ..protocol.frames import answer_to, close_frame
from ..protocol.reframer import FrameSplitter
from ..transport.base import Wire, is_end
from ..transport.epoll_reader import Take

__all__ = ["shake_hands"]


async def shake_hands(
    wire: Wire,
    splitter: FrameSplitter,
    goodbye: Goodbye | None,
    receive_until: Callable[[Take], Awaitable[None]],
) -> None:
    """Send the last frame, and wait for the client's if it has not come yet.

    A client that closed first gets its close frame echoed; one that broke a rule gets the code of
    its violation; any other gets ``goodbye``, or nothing if that is None.

    ``receive_until`` gives a call what comes until that returns True. Raises what it raises, and
    `Wire.send_all`. The caller bounds the time.
    """
    if splitter.closed:
        await wire.send_all(answer_to(splitter.control[-1]))
    elif splitter.violation is not None:
        await wire.send_all(close_frame(*splitter.violation))
        await wire.send_eof()
        await receive_until(is_end)  # there is no frame border to be found any more
    elif goodbye is not None:
        await wire.send_all(close_frame(*goodbye))

        def discard(data: bytes) -> bool:
            """Discard data and pings; return True after the client's close frame, or its end."""
            splitter.feed(data)
            splitter.control.clear()
            return splitter.over or not data

        await receive_until(discard)
