"""Texts for the state and the progress of sessions. Pure, except for a clock that callers pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

SIZES: Final = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))

RATE_TIME: Final = 2.0
"""Period, in seconds, over which the rate is averaged."""


class Counted(Protocol):
    """Interface of a session that counts its bytes."""

    @property
    def bytes_sent(self) -> int:
        """Number of bytes sent to the peer."""

    @property
    def bytes_received(self) -> int:
        """Number of bytes received from the peer."""


def format_size(size: float) -> str:
    """Return a number of bytes as text, with a unit and three significant digits."""
    for unit, factor in SIZES:
        if size >= factor:
            number = size / factor
            decimals = max(0, 3 - len(f"{number:.0f}"))
            return f"{number:.{decimals}f} {unit}"
    return f"{size:.0f} B"


@dataclass(slots=True)
class Traffic:
    """Number of bytes that all sessions have transferred so far, and their rate."""

    now: Callable[[], float]
    _sessions: list[Counted] = field(default_factory=list)
    _ended: tuple[int, int] = (0, 0)
    _samples: list[tuple[float, int]] = field(default_factory=list)

    @contextmanager
    def counting(self, session: Counted) -> Iterator[None]:
        """Count the bytes of a session during a with block. The total includes them afterwards."""
        self._sessions.append(session)
        try:
            yield
        finally:
            self._sessions.remove(session)
            sent, received = self._ended
            self._ended = (sent + session.bytes_sent, received + session.bytes_received)

    @property
    def bytes(self) -> tuple[int, int]:
        """Number of bytes sent, and number of bytes received."""
        sent, received = self._ended
        return (
            sent + sum(each.bytes_sent for each in self._sessions),
            received + sum(each.bytes_received for each in self._sessions),
        )

    def rate(self) -> float:
        """Return the average rate, in bytes per second, of both directions together.

        The average begins with the first call in the last `RATE_TIME` seconds. Without an earlier
        call in this time, the rate is 0.
        """
        now, total = self.now(), sum(self.bytes)
        self._samples = [it for it in self._samples if it[0] > now - RATE_TIME] + [(now, total)]
        (then, before), elapsed = self._samples[0], now - self._samples[0][0]
        return (total - before) / elapsed if then < now else 0.0


def progress_line(state: str, traffic: Traffic) -> str:
    """Return one line with the state and the progress."""
    sent, received = traffic.bytes
    parts = [state]
    if sent or received:
        parts.append(f"sent {format_size(sent)}, received {format_size(received)}")
        parts.append(f"{format_size(traffic.rate())}/s")
    return " | ".join(parts)


def number_of(count: int, noun: str) -> str:
    """Return a number and a noun. The noun gets a plural s unless the number is 1."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def join_words(words: Iterable[str]) -> str:
    """Join the words that are not empty with commas."""
    return ", ".join(filter(None, words))
