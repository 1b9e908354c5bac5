"""Errors of endpoints. Each message is one line, and contains no code, key, token or payload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ABNORMAL: Final = 1006  # close code without a close frame (RFC 6455 section 7.4.1)
GOING_AWAY: Final = 1001


class EndpointError(Exception):
    """Base class of the errors of endpoints. The session cannot start or continue."""

    TEXT = ""

    def __init__(self, text: str = "") -> None:
        super().__init__(text or self.TEXT)


class InvalidLink(EndpointError, ValueError):
    """A link, a relay URL or a link file is not valid. The message contains no secret."""


class NoRelay(EndpointError):
    """No relay was reached at the URL: DNS, TCP or TLS failed, or the server is not a relay."""


class Refused(EndpointError):
    """The relay refused the request, and would refuse a retry too.

    Attributes:
        status: HTTP status of the response.
        reason: Text of the response; "" if it is not fit for display.
        pair_hash: Hash that names the code in the log of the relay; None if the response has no
            valid Arc-Relay-Pair header.
    """

    def __init__(self, status: int, reason: str, pair_hash: str | None = None) -> None:
        super().__init__(f"the relay refused the connection: {status} {reason}".rstrip())
        self.status = status
        self.reason = reason
        self.pair_hash = pair_hash


class WrongKey(EndpointError):
    """The peer does not have the key of the link or of the session."""

    TEXT = "the peer does not have the key of this link"


class AnotherInitiator(EndpointError):
    """The peer is not the host, but another guest of the link, or this guest itself."""

    TEXT = "another guest of this link is connected in place of the host"


class ProtocolViolation(EndpointError):
    """A message from the peer violates the endpoint protocol."""


class WaitTimeout(EndpointError):
    """The host of the link did not connect within the wait timeout."""

    TEXT = "the host of this link did not connect in time"


class ResumeTimeout(EndpointError):
    """The endpoints did not connect again within the resume timeout."""


class PeerAborted(EndpointError):
    """The peer ended the session, or refused to open one.

    Attributes:
        reason_code: Reason in the ABORT or REFUSED message, 0 to 255.
        text: Text from the peer, without control characters.
    """

    def __init__(self, reason_code: int, text: str) -> None:
        super().__init__(text or f"the peer ended the session with reason {reason_code}")
        self.reason_code = reason_code
        self.text = text


class TargetError(EndpointError):
    """Raised by the handler of a host that cannot reach the target of the session.

    The guest receives the message of this exception, with reason 1.
    """


@dataclass(eq=False)
class ConnectionLost(Exception):
    """A connection has ended, or could not be opened. The endpoint may try again."""

    text: str
    code: int = ABNORMAL  # of the close frame
    reason: str = ""  # of the close frame
    is_collision: bool = False  # True if the relay refused a third side of the code
    retry_after: float = 0.0  # minimum delay, in seconds, before the next attempt

    def __str__(self) -> str:
        return self.text

    @property
    def is_expiry(self) -> bool:
        """True if the relay ended the waiting side after `pair_ttl`. This is no failure."""
        return self.code == GOING_AWAY and self.reason != "relay stopping"

    @property
    def is_peer_gone(self) -> bool:
        """True if the relay closed the connection because the peer left."""
        return self.reason == "peer disconnected"


def drop_tracebacks(error: BaseException) -> None:
    """Drop the traceback of an exception that nobody raises again, and those of its contexts.

    Their frames refer to a session and to its data, and the session refers to the exception. The
    garbage collector searches for such cycles rarely.
    """
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        each = each.__context__
