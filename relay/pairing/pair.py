"""Pair of two sides with the same code, from the handshake of side A to the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from ..outcomes import Outcome
from ..protocol.frames import TEXT
from .early_data import EarlyData
from .side import Side


@dataclass(eq=False, slots=True, repr=False)
class Pair:
    """Two sides with the same code, or one side that waits for its peer.

    The task of side A runs the pair. The ``repr`` of a pair shows no field, so that no secret
    reaches a log.
    """

    code: str
    a: Side
    since: float
    """Time of side A's handshake, in seconds of the trio clock."""
    free_code: Callable[[Pair], None]
    """Function that frees the code of the pair, unless a newer pair uses the code."""
    b: Side | None = None
    joined: float | None = None
    """Time at which side B joined, in seconds of the trio clock; None before that."""
    outcome: Outcome | None = None
    """Cause of the end; None until the pair ends."""
    early_data: EarlyData = field(init=False)
    """Frames that side A sent before side B joined and that are not forwarded yet."""
    alone: trio.CancelScope | None = None
    """Cancel scope of side A's wait for its peer; None at other times."""
    pumps: trio.CancelScope | None = None
    """Cancel scope of the pumps; None before and after they run."""
    over: trio.Event = field(default_factory=trio.Event)
    """Event that is set once the task of side A no longer reads from or writes to either side."""
    checked: trio.Event | None = None
    """Event that is set when the current takeover check ends; None if there is no check."""
    text_reported: bool = False
    """True once a dropped text message of the pair has been reported."""

    def __post_init__(self) -> None:
        self.early_data = EarlyData(self.a)

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides that have joined."""
        return (self.a,) if self.b is None else (self.a, self.b)

    @property
    def clients(self) -> tuple[str, str]:
        """Client addresses of side A and side B; "" if unknown."""
        return self.a.client, self.b.client if self.b else ""

    def is_reading_paused(self, side: Side) -> bool:
        """Return True if the relay is not reading from a side now.

        The relay pauses reading while the peer is slow, and while `Side.reading_paused` is set.
        """
        peer = self.b if side is self.a else self.a
        return side.reading_paused or (peer is not None and peer.transport.write_blocked)

    def end_wait(self) -> None:
        """End side A's wait for its peer, if side A is waiting."""
        if self.alone is not None:
            self.alone.cancel()

    def end(self, outcome: Outcome, cause: Side | None = None) -> None:
        """Free the code and end both sides. Only the first call sets the outcome.

        ``cause`` is the side that caused the end, if any. It gets `Outcome.close_for_cause`, and
        its peer gets `Outcome.close_for_peer`. Without a cause, both get `Outcome.close_for_peer`.
        The task of each side then closes the side. A client that arrives with the code after this
        call starts a new pair.
        """
        self.free_code(self)
        if self.outcome is None:
            self.outcome = outcome
        for side in self.sides:
            side.end(outcome.close_for_cause if side is cause else outcome.close_for_peer)
        self.end_wait()
        if self.pumps is not None:
            self.pumps.cancel()

    def finish(self) -> None:
        """Let the tasks of both sides close their sides.

        The task of side A calls this method when the task no longer uses either side. If the pair
        ended just as side B joined, early data may remain, and is sent to side B first.
        """
        if self.b is not None and (held := self.early_data.take()):
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                # The transport buffers bytes that it cannot send yet, and sends them before the
                # close frame.
                self.b.transport.try_send(held)
        self.over.set()

    @property
    def text_sender(self) -> str:
        """Side that sent text messages: ``a`` if side A did, else ``b`` if side B did, else ""."""
        a, b = self.a, self.b
        if a.reframer.message_counts[TEXT]:
            return "a"
        return "b" if b is not None and b.reframer.message_counts[TEXT] else ""
