"""Violations of RFC 6455 by a client, with the close code and the reason for each."""

from __future__ import annotations

from typing import NamedTuple

from websockets.frames import CloseCode as CloseCode  # noqa: PLC0414 - other rooms do not import websockets


class ProtocolError(Exception):
    """A client violated RFC 6455 or a limit.

    The close frame to the client has ``code`` and ``reason``. The reason is a fixed text of at most
    123 bytes (RFC 6455 section 5.5), and never quotes data from the client.
    """

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(f"{code.value} {reason}")
        self.code = code
        self.reason = reason


class Violation(NamedTuple):
    """The close code and the reason for a client that violated RFC 6455 or a limit.

    A reframer stores this record instead of the `ProtocolError`, because the traceback of a stored
    exception would refer back to the reframer and so form a reference cycle.
    """

    code: CloseCode
    reason: str
