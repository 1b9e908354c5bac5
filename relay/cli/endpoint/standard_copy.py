"""Connect a session to standard input and output, for `pipe` and `share -`."""

from __future__ import annotations

import os
import sys

import trio

from ...client.errors import EndpointError
from ...client.session import Session
from ..options import WrongUsage
from .copying import copy_from_session, copy_to_session, run_both
from .standard_io import STDIN, open_standard_io
from .status import is_failure


def require_output() -> None:
    """Raise WrongUsage if the program was started with standard output closed."""
    if sys.stdout is None:
        raise WrongUsage("standard output is closed")


class StandardCopy:
    """Exchange of the two streams of a session with standard input and output."""

    def __init__(self) -> None:
        self.received_all = False
        """True once the stream of the peer has ended, and was written."""

    async def run(self, session: Session) -> None:
        """Copy in both directions until both streams have ended.

        The input of a terminal ends with the stream of the peer, because no user would end it.
        Raises InputFailed or OutputFailed if a standard stream fails, such as a pipe whose reader
        has ended. Raises EndpointError if the session fails.
        """
        local = open_standard_io()
        reading = trio.CancelScope()

        async def write() -> None:
            await copy_from_session(session, local)
            self.received_all = True
            if os.isatty(STDIN):
                reading.cancel()

        async def read() -> None:
            with reading:
                await copy_to_session(local, session)
            if reading.cancelled_caught:
                await session.send_eof()

        await run_both(write, read)

    def is_clean(self, error: EndpointError) -> bool:
        """Return True if the program of the peer has ended after it had sent its whole stream.

        For example, `arc-relay share -- head -n 1` need not read the rest of its input.
        """
        return self.received_all and not is_failure(error)
