"""Texts of the errors of endpoints."""

from __future__ import annotations

from relay.client.errors import EndpointError, PeerAborted, Refused, WrongKey


def test_refused() -> None:
    """A refusal has the status and the text of the relay."""
    error = Refused(401, "opening a new code needs a token", "0123456789")
    assert str(error) == "the relay refused the connection: 401 opening a new code needs a token"
    assert (error.status, error.reason, error.pair_hash) == (401, error.reason, "0123456789")
    assert str(Refused(502, "")) == "the relay refused the connection: 502"


def test_peer_aborted() -> None:
    """The text of the peer is shown, or else the reason."""
    error = PeerAborted(1, "connection refused")
    assert (str(error), error.reason_code, error.text) == (error.text, 1, "connection refused")
    assert str(PeerAborted(9, "")) == "the peer ended the session with reason 9"


def test_fixed_text() -> None:
    """An error has its own text, unless another one is given."""
    assert str(WrongKey()) == "the peer does not have the key of this link"
    assert str(EndpointError("odd")) == "odd"
