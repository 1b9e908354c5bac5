"""State and progress of the sessions of a command, as text. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from ...client import ClientEvent, Connected, Ended, Lost, PeerAborted, Retrying, Session, Waiting

CLOSED: Final = 2  # reason in ABORT if the program of the peer ended or closed the session


def is_failure(error: Exception | None) -> bool:
    """Return True unless the session ended cleanly or the program of the peer closed it."""
    return not (error is None or (isinstance(error, PeerAborted) and error.reason_code == CLOSED))


@dataclass(slots=True)
class Status:
    """State of the sessions, and the last error of each."""

    peers: str  # singular noun for counted sessions
    idle: str  # text for the state without a session
    waiting: str = ""  # text once the relay has accepted the link code; "" for `idle`
    note: str = "connecting to the relay"  # about the connection with the link code; "" for none
    # Reason of the last failure, keyed by session; "" for a connected session.
    lost: dict[str, str] = field(default_factory=dict)

    def update(self, event: ClientEvent) -> str:
        """Update the state. Return a line about the change, or "" if there is no change."""
        before = self.note
        match event:
            case Waiting():
                self.note = self.waiting
                line = (self.waiting or self.idle) if self.note != before else ""
            case Retrying(None, reason):
                self.note = f"{reason}; trying again"
                line = self.note if self.note != before else ""
            case Retrying(str(name), reason):
                known, self.lost[name] = self.lost.get(name), reason
                line = f"session {name}: {reason}; trying again" if reason != known else ""
            case Lost(name, reason):
                self.lost[name] = reason
                line = f"session {name}: connection lost: {reason}; reconnecting"
            case Connected(name):
                self.note = self.lost[name] = ""
                line = f"session {name}: connected"
            case Ended(name, error):  # pragma: no branch - the last of the events
                self.note = ""
                self.lost.pop(name, None)
                failed = "failed: " if is_failure(error) else ""
                line = f"session {name}: {failed}{error or 'ended'}"
        return line

    @property
    def is_well(self) -> bool:
        """True if there is at least one session, and all sessions have a connection."""
        return bool(self.lost) and not any(self.lost.values())

    @property
    def text(self) -> str:
        """State in a few words."""
        lost = [reason for reason in self.lost.values() if reason]
        counts = [(len(self.lost) - len(lost), "")]
        counts += [(len(lost), f" reconnecting ({lost[0]})")] if lost else []
        peers = [f"{n} {self.peers}{'s' if n > 1 else ''}{state}" for n, state in counts if n]
        return ", ".join(filter(None, (self.note, *peers))) or self.idle


class Traffic:
    """Number of bytes that all sessions have transferred so far, and their rate."""

    def __init__(self) -> None:
        self._sessions: list[Session] = []
        self._sent = self._received = 0  # by sessions that have ended
        self._samples = deque[tuple[float, int]](maxlen=5)  # times and bytes, for the rate

    @contextmanager
    def counting(self, session: Session) -> Iterator[None]:
        """Count the bytes of a session during a with block. The total includes them afterwards."""
        self._sessions.append(session)
        try:
            yield
        finally:
            self._sessions.remove(session)
            self._sent += session.bytes_sent
            self._received += session.bytes_received

    @property
    def bytes(self) -> tuple[int, int]:
        """Number of bytes sent, and number of bytes received."""
        sent = self._sent + sum(each.bytes_sent for each in self._sessions)
        return sent, self._received + sum(each.bytes_received for each in self._sessions)

    def text(self, now: float) -> str:
        """Return the numbers, and the average rate since an earlier call; "" without any bytes."""
        sent, received = self.bytes
        self._samples.append((now, sent + received))
        then, before = self._samples[0]
        rate = (sent + received - before) / (now - then) if then < now else 0.0
        texts = f"sent {size_text(sent)}, received {size_text(received)} | {size_text(rate)}/s"
        return texts if sent or received else ""


def size_text(size: float) -> str:
    """Return a number of bytes as text, with a unit and three significant digits."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            decimals = max(0, 3 - len(f"{size / factor:.0f}"))
            return f"{size / factor:.{decimals}f} {unit}"
    return f"{size:.0f} B"
