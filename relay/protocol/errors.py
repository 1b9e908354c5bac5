"""Exceptions of the relay, and the close codes that it sends.

This module is pure: it imports no other module of the relay.

    RelayError
    ├── PairFull         a third client used a code that already has two sides
    └── ProtocolError    a client broke RFC 6455 or a limit; has the close code and the reason
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

__all__ = ["CloseCode", "PairFull", "ProtocolError", "RelayError", "Violation", "leaves"]


class CloseCode(IntEnum):
    """Close codes that the relay itself sends (RFC 6455 section 7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011


class RelayError(Exception):
    """Base class of every exception that the relay defines."""


class PairFull(RelayError):
    """The code already has two sides; a third client is refused with 409."""


class ProtocolError(RelayError):
    """A client broke RFC 6455 or a limit.

    The close frame to the client has ``code`` and ``reason``. The reason is a fixed text of at most
    123 bytes (RFC 6455 section 5.5) that never quotes bytes of the client.
    """

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(f"{code.value} {reason}")
        self.code = code
        self.reason = reason


class Violation(NamedTuple):
    """The close code and the reason for a client that broke a rule.

    A reframer stores this record and not the `ProtocolError`: the traceback of an exception refers
    to the stack frames that raised it, which would form a reference cycle with the reframer.
    """

    code: CloseCode
    reason: str


def leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    """Yield the exceptions of a group and of its nested groups, without the groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error
