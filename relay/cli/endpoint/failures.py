"""Exit statuses and error messages of the commands. Pure."""

from __future__ import annotations

from typing import Final

from ...client.errors import EndpointError, NoRelay, PeerAborted, Refused, ResumeTimeout, WrongKey
from ...daemon.errors import StartError, os_error_text
from .copying import InputFailed, OutputFailed
from .status import CLOSED

FAILURE: Final = 1
REFUSED: Final = 3
WRONG_KEY: Final = 4

ADVICE: Final = {
    400: "the URL of the relay may be wrong; `arc-relay probe URL` examines it",
    401: "--token-file or ARC_RELAY_CLIENT_TOKEN must give the token of the relay",
    403: "the relay or a proxy in front of it refuses this client",
    404: "there is no relay at this path; `arc-relay probe URL` examines it",
    200: "the server at this URL is no relay; `arc-relay probe URL` examines it",
    426: "the server is no relay, or a proxy in front of it does not forward WebSockets",
}
"""Advice for the user, keyed by the HTTP status of a refusal."""

KNOWN: Final = (EndpointError, StartError, InputFailed, OutputFailed)
"""Expected exceptions, whose messages are shown to the user. Any other exception is a bug."""


def explain(error: BaseException) -> tuple[int, str]:
    """Return the exit status and the message for a failure. An empty message is not printed."""
    if isinstance(error, WrongKey):
        return WRONG_KEY, f"{error}; both ends need the same link"
    if isinstance(error, Refused):
        return REFUSED, refusal_text(error)
    return FAILURE, failure_text(error)


def refusal_text(error: Refused) -> str:
    """Return the message for a refusal. It includes the pair's hash in the log of the relay."""
    parts = [str(error)]
    if error.pair_hash:
        parts[0] += f" (pair {error.pair_hash})"
    if error.status in ADVICE:
        parts.append(ADVICE[error.status])
    return "; ".join(parts)


def failure_text(error: BaseException) -> str:
    """Return the message for a failure other than WrongKey and Refused."""
    if isinstance(error, OutputFailed):
        if isinstance(error.__cause__, BrokenPipeError):
            return ""  # as in `arc-relay pipe LINK | head`
        return f"cannot write to standard output: {cause_text(error)}"
    if isinstance(error, InputFailed):
        return f"cannot read from standard input: {cause_text(error)}"
    if isinstance(error, NoRelay):
        return f"no connection to the relay: {error}; `arc-relay probe URL` examines it"
    if isinstance(error, PeerAborted) and error.reason_code != CLOSED:
        return f"the peer ended the session: {error}"
    if isinstance(error, ResumeTimeout):
        return f"{error}; --resume-timeout sets how long to try"
    return str(error)


def cause_text(error: BaseException) -> str:
    """Return the operating system's error message for a failure of a local stream."""
    cause = error.__cause__
    return os_error_text(cause) if isinstance(cause, OSError) else "it was closed"
