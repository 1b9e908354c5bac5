"""Exit statuses and messages of failures."""

from __future__ import annotations

import pytest

from relay.cli.endpoint.running import explain
from relay.cli.endpoint.standard_io import StandardStreamFailed
from relay.cli.endpoint.status import is_failure
from relay.client.errors import (
    InvalidLink,
    NoRelay,
    PeerAborted,
    Refused,
    ResumeTimeout,
    TargetError,
    WrongKey,
)
from relay.daemon.errors import StartError


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (WrongKey(), 4, "both ends need the same link"),
        (Refused(401, "token required", "0123456789"), 3, "(pair 0123456789); --token-file or"),
        (Refused(200, ""), 3, "200; the server at this URL is no relay"),
        (Refused(418, ""), 3, "the relay refused the connection: 418"),
        (NoRelay("connection refused"), 1, "no connection to the relay: connection refused; `arc"),
        (PeerAborted(1, "no"), 1, "the peer ended the session: no"),
        (ResumeTimeout("lost"), 1, "lost; --resume-timeout sets how long to try"),
        (StartError("cannot listen"), 1, "cannot listen"),
        (StandardStreamFailed("cannot write"), 1, "cannot write"),
    ],
)
def test_explain(error: Exception, status: int, text: str) -> None:
    """Each failure has its status, and a message that says what to do."""
    found, message = explain(error)
    assert found == status
    assert text in message


def test_end_by_peer() -> None:
    """The message of a peer that closed the session says this once."""
    text = "the program of the peer closed the session"
    assert explain(PeerAborted(2, text)) == (1, text)


def test_failures_of_sessions() -> None:
    """A session that its peer closed has not failed."""
    assert not is_failure(None)
    assert not is_failure(PeerAborted(2, "closed"))
    assert is_failure(PeerAborted(1, "no target"))
    assert is_failure(TargetError("no target"))
    assert is_failure(InvalidLink("x"))
