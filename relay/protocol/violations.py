"""Violations of RFC 6455 by a client, with the close code and the reason for each."""

from __future__ import annotations

from typing import NamedTuple

from websockets.frames import CloseCode as CloseCode  # noqa: PLC0414 - other rooms do not import websockets


class ProtocolError(Exception):
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
