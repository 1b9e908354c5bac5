"""Contents and base class of the relay's exceptions."""

from __future__ import annotations

import pytest

from relay.protocol.errors import CloseCode, PairFull, ProtocolError, RelayError


@pytest.mark.parametrize("error", [PairFull(), ProtocolError(CloseCode.NORMAL, "why")])
def test_one_root(error: Exception) -> None:
    """Every exception of the relay has one base class."""
    assert isinstance(error, RelayError)


def test_violation_says_how_to_close() -> None:
    """A protocol error has the code and reason of the close frame, and displays both."""
    violation = ProtocolError(CloseCode.MESSAGE_TOO_BIG, "message too big")
    assert (violation.code, violation.reason) == (1009, "message too big")
    assert str(violation) == "1009 message too big"
