"""Errors of endpoints. Their messages have one line and hold no code, key, token or payload."""

from __future__ import annotations


class EndpointError(Exception):
    """A session cannot begin or go on. Base class of the errors of endpoints."""


class InvalidLink(EndpointError, ValueError):
    """A link, a relay URL or a link file is not valid. The message does not quote a secret."""


class NoRelay(EndpointError):
    """No relay is reachable at the URL: a failure of DNS, TCP or TLS, or another kind of server."""


class Refused(EndpointError):
    """The relay refused the request, and would refuse it again.

    Attributes:
        status: HTTP status of the response.
        reason: Text of the relay.
        pair_hash: Hash that names the code in the log of the relay; None without Arc-Relay-Pair.
    """

    def __init__(self, status: int, reason: str, pair_hash: str | None = None) -> None:
        super().__init__(f"the relay refused the connection: {status} {reason}".rstrip())
        self.status = status
        self.reason = reason
        self.pair_hash = pair_hash


class WrongKey(EndpointError):
    """The peer does not have the key of the link or of the session."""

    def __init__(self) -> None:
        super().__init__("the peer does not have the key of this link")


class AnotherInitiator(EndpointError):
    """The peer began the handshake too: another guest of the link, or this guest itself."""

    def __init__(self) -> None:
        super().__init__("another guest of this link is connected in place of the host")


class ProtocolViolation(EndpointError):
    """A message of the peer violates the endpoint protocol."""


class DecryptError(ProtocolViolation):
    """A message does not decrypt: it was changed, repeated, reordered, or has another key."""

    def __init__(self) -> None:
        super().__init__("message does not decrypt")


class WaitTimeout(EndpointError):
    """The host of the link did not connect within the wait timeout."""

    def __init__(self) -> None:
        super().__init__("the host of this link did not connect in time")


class ResumeTimeout(EndpointError):
    """The connection was lost, and did not come back within the resume timeout."""


class PeerAborted(EndpointError):
    """The peer ended the session, or refused to open one.

    Attributes:
        reason_code: Reason of the message ABORT or REFUSED, 0 to 255.
        text: Text of the peer, without control characters.
    """

    def __init__(self, reason_code: int, text: str) -> None:
        super().__init__(text or f"the peer ended the session with reason {reason_code}")
        self.reason_code = reason_code
        self.text = text


class TargetError(EndpointError):
    """Raised by the handler of a host that cannot reach the target of the session.

    The message goes to the guest, with reason 1.
    """


def drop_tracebacks(error: BaseException) -> None:
    """Drop the traceback of an exception that nobody raises again, and those of its contexts.

    Their frames refer to a session and to its data, and the session refers to the exception. The
    garbage collector searches for such cycles rarely.
    """
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        each = each.__context__
