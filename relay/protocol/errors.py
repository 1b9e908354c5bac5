"""What can go wrong, split by who is wrong.

This module is pure: it may be imported from anywhere and imports nothing of the relay.

    RelayError
    ├── PairFull         a third endpoint asked for a code that two already share
    └── ProtocolError    a client broke RFC 6455 or a limit; says how to close it
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

__all__ = ["CloseCode", "PairFull", "ProtocolError", "RelayError", "Violation", "leaves"]


class CloseCode(IntEnum):
    """The close codes that the relay itself sends (RFC 6455 section 7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011


class RelayError(Exception):
    """The root of every exception that the relay defines."""


class PairFull(RelayError):
    """Two endpoints already share the code; a third one is refused (409)."""


class ProtocolError(RelayError):
    """A client sent what it must not; ``code`` and ``reason`` say so in its close frame.

    ``reason`` is a fixed sentence of at most 123 bytes (RFC 6455 section 5.5) that never
    quotes what the client sent.
    """

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(f"{code.value} {reason}")
        self.code = code
        self.reason = reason


class Violation(NamedTuple):
    """The close code and the reason for a client that broke a rule.

    It takes the place of a `ProtocolError` that is to be kept: an exception refers to the
    frames in which it was raised, and so to whatever keeps it.
    """

    code: CloseCode
    reason: str


def leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    """Yield the exceptions in a group that are no groups themselves."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error
