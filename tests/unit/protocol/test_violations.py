"""The exception for a client that violates RFC 6455."""

from __future__ import annotations

from relay.protocol.violations import CloseCode, ProtocolError


def test_violation_has_the_close_code() -> None:
    """A ProtocolError has the code and the reason of the close frame, and its text has both."""
    violation = ProtocolError(CloseCode.MESSAGE_TOO_BIG, "message too big")
    assert (violation.code, violation.reason) == (1009, "message too big")
    assert str(violation) == "1009 message too big"
