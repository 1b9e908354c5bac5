"""Two sides with the same code, from the first handshake to the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import trio

from ..outcomes import Outcome
from ..protocol.frames import BINARY, TEXT
from .early_data import EarlyData
from .side import Side


class Traffic(NamedTuple):
    """Traffic of a pair, or of all pairs; the first item of each tuple belongs to side A."""

    bytes: tuple[int, int] = (0, 0)
    messages: tuple[int, int] = (0, 0)
    text_messages_dropped: tuple[int, int] = (0, 0)

    def plus(self, other: Traffic) -> Traffic:
        """Return the sum of each counter, side by side."""
        pairs = zip(self, other, strict=True)
        return Traffic(*((one[0] + two[0], one[1] + two[1]) for one, two in pairs))


@dataclass(eq=False, slots=True, repr=False)
class Pair:
    """Two sides with the same code, or one side that waits for its peer.

    The task of side A runs the pair. The repr is that of object, so that no log and no traceback
    has the code.
    """

    code: str
    a: Side
    since: float
    """Time at which side A opened the code, in seconds of the trio clock."""
    free_code: Callable[[Pair], None]
    """Function that frees the code, unless a newer pair uses it."""
    b: Side | None = None
    joined: float | None = None
    """Time at which side B joined."""
    outcome: Outcome | None = None
    """Cause of the end; None until the pair ends."""
    early_data: EarlyData = field(init=False)
    """Data that side A sent and that side B has not got yet."""
    alone: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Scope of the wait of side A for its peer."""
    over: trio.Event = field(default_factory=trio.Event)
    """Event that is set once the task of side A no longer reads or writes either side."""
    checked: trio.Event | None = None
    """Event that the takeover check in progress sets at its end; None without a check."""
    text_reported: bool = False
    """True once a dropped text message of the pair was reported."""

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
        """Return True if the relay does not read a side now, also because its peer is slow."""
        peer = self.b if side is self.a else self.a
        return side.reading_paused or (peer is not None and peer.transport.write_blocked)

    def end(self, outcome: Outcome, cause: Side | None = None) -> None:
        """Free the code and end both sides; only the first call sets the outcome.

        A client that arrives with the code from now on opens a new pair. ``cause`` is the side that
        caused the end, if any. The task of each side closes it, with the close code that the
        outcome has for the cause or for its peer.
        """
        self.free_code(self)
        if self.outcome is None:
            self.outcome = outcome
        for side in self.sides:
            side.end(outcome.close_for_cause if side is cause else outcome.close_for_peer)

    def finish(self) -> None:
        """Let the tasks of both sides close them; the task of side A calls this at its end.

        Side B first gets the early data that remains if the pair ended at the moment of joining.
        """
        if self.b is not None and (held := self.early_data.take()):
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                # The transport keeps what does not fit and sends it before the close frame.
                self.b.transport.try_send(held)
        self.over.set()

    @property
    def text_sender(self) -> str:
        """Side whose text messages were dropped: ``a``, ``b``, or "" if neither sent any."""
        a, b = self.a, self.b
        if a.reframer.message_counts[TEXT]:
            return "a"
        return "b" if b is not None and b.reframer.message_counts[TEXT] else ""

    @property
    def traffic(self) -> Traffic:
        """Traffic of the pair. Early data that waits for side B does not count yet."""
        a, b = self.a, self.b
        if b is None:
            return Traffic(text_messages_dropped=(a.reframer.message_counts[TEXT], 0))
        counts = a.reframer.message_counts, b.reframer.message_counts
        return Traffic(
            bytes=(a.passed_on, b.passed_on),
            messages=(counts[0][BINARY], counts[1][BINARY]),
            text_messages_dropped=(counts[0][TEXT], counts[1][TEXT]),
        )
