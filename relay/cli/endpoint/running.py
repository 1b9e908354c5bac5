"""Run a command until it ends, fails or gets a signal, and return its exit status."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from ...client import EndpointError, NoRelay, PeerAborted, Refused, ResumeTimeout, WrongKey
from ...daemon.errors import StartError
from ...daemon.signal_dispositions import EXIT_STATUS_BASE
from ...server.exception_groups import leaves
from ..errors import print_error
from .reporter import Reporter
from .standard_io import StandardStreamFailed
from .status import CLOSED

# Advice for the user, keyed by the HTTP status of a refusal.
ADVICE: Final = {
    400: "the URL of the relay may be wrong; `arc-relay probe URL` examines it",
    401: "--token-file or ARC_RELAY_CLIENT_TOKEN must give the token of the relay",
    403: "the relay or a proxy in front of it refuses this client",
    404: "there is no relay at this path; `arc-relay probe URL` examines it",
    200: "the server at this URL is no relay; `arc-relay probe URL` examines it",
    426: "the server is no relay, or a proxy in front of it does not forward WebSockets",
}

# Exceptions whose messages are shown to the user. Any other exception is a bug.
KNOWN: Final = (EndpointError, StartError, StandardStreamFailed)

# Signals that end a command. Before it exits, it ends its sessions and its child processes.
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run(main: Callable[[], Awaitable[None]], reporter: Reporter) -> int:
    """Run a command with its reporter. Print an error message if it fails. Return the exit status.

    A signal that the parent ignored stays ignored, such as SIGINT of some background jobs. Further
    signals do not interrupt the end of the sessions and processes, which takes at most 10 seconds.
    """
    number, status, text = 0, 0, ""
    wanted = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    scope = trio.CancelScope()

    async def receive_signals(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal number
        with trio.open_signal_receiver(*wanted) as signals:
            task_status.started()
            async for each in signals:
                number = number or each
                scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            if wanted:
                await nursery.start(receive_signals)
            nursery.start_soon(reporter.run)
            with scope:
                await main()
            nursery.cancel_scope.cancel()
    except* KNOWN as group:
        status, text = explain(next(leaves(group)))
    if text and not number:
        print_error(text)
    return EXIT_STATUS_BASE + number if number else status


def explain(error: BaseException) -> tuple[int, str]:
    """Return the exit status and the message for a failure. An empty message is not printed."""
    match error:
        case WrongKey():
            return 4, f"{error}; both ends need the same link"
        case Refused():
            pair = f" (pair {error.pair_hash})" if error.pair_hash else ""  # as in the relay's log
            advice = f"; {ADVICE[error.status]}" if error.status in ADVICE else ""
            return 3, f"{error}{pair}{advice}"
        case NoRelay():
            return 1, f"no connection to the relay: {error}; `arc-relay probe URL` examines it"
        case PeerAborted() if error.reason_code != CLOSED:
            return 1, f"the peer ended the session: {error}"
        case ResumeTimeout():
            return 1, f"{error}; --resume-timeout sets how long to try"
    return 1, str(error)
