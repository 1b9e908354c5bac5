"""Connect a session to standard input and output, for `arc-relay pipe` and `arc-relay share -`."""

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
    """Raise WrongUsage if standard output was closed when the program was started."""
    if sys.stdout is None:
        raise WrongUsage("standard output is closed")


class StandardCopy:
    """Copier between a session and standard input and output."""

    def __init__(self) -> None:
        self.received_all = False
        """True once the whole stream of the peer was written to standard output."""

    async def run(self, session: Session) -> None:
        """Copy in both directions until both streams have ended.

        When the stream of the peer ends, input from a terminal also counts as ended, because its
        user would not end it. Raises InputFailed or OutputFailed if a standard stream fails, such
        as a pipe whose reader has ended. Raises EndpointError if the session fails.
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
        """Return True if the peer sent its whole stream and then closed the session.

        For example, the command in `arc-relay share -- head -n 1` does not read its whole input.
        """
        return self.received_all and not is_failure(error)
