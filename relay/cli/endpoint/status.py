"""State of the sessions of a command, derived from their events. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ...client.errors import EndpointError, PeerAborted
from ...client.events import ClientEvent, Connected, Ended, Lost, Retrying, Waiting
from .progress import join_words, number_of

CLOSED: Final = 2
"""Reason in ABORT if the program of the peer ended or closed the session."""


def is_failure(error: EndpointError | None) -> bool:
    """Return True unless the session ended cleanly or the program of the peer closed it."""
    by_peer = isinstance(error, PeerAborted) and error.reason_code == CLOSED
    return error is not None and not by_peer


@dataclass(slots=True)
class Status:
    """State of the sessions, and the last error of each.

    Args:
        peers: Singular noun for counted sessions: guest, host or session.
        idle: Text for the state without a session.
        waiting: Text for the state in which the relay has accepted the link code and the peer has
            not joined; "" if ``idle`` describes this state.
        note: Text about the connection with the link code; "" if there is nothing to report.
    """

    peers: str
    idle: str
    waiting: str = ""
    note: str = "connecting to the relay"
    lost: dict[str, str] = field(default_factory=dict)
    """Reason of the last failure, keyed by session; "" for a connected session."""

    def update(self, event: ClientEvent) -> str:
        """Update the state. Return a line about the change, or "" if there is no change."""
        match event:
            case Waiting():
                line = (self.waiting or self.idle) if self._note(self.waiting) else ""
            case Connected(name):
                self.note = self.lost[name] = ""
                line = f"session {name}: connected"
            case Lost(name, reason):
                self.lost[name] = reason
                line = f"session {name}: connection lost: {reason}; reconnecting"
            case Retrying(None, reason):
                line = self.note if self._note(f"{reason}; trying again") else ""
            case Retrying(str(name), reason):
                self.lost[name], before = reason, self.lost.get(name)
                line = f"session {name}: {reason}; trying again" if reason != before else ""
            case Ended(name, error):  # pragma: no branch - the last of the events
                self.lost.pop(name, None)
                self.note = ""
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
        connected = len(self.lost) - len(lost)
        return join_words(
            (
                self.note,
                number_of(connected, self.peers) if connected else "",
                f"{number_of(len(lost), self.peers)} reconnecting ({lost[0]})" if lost else "",
                "" if self.lost or self.note else self.idle,
            )
        )

    def _note(self, text: str) -> bool:
        """Replace the note. Return True if it has changed."""
        self.note, before = text, self.note
        return text != before
