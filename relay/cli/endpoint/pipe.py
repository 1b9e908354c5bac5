"""`arc-relay pipe`: connect standard input and output to a session."""

from __future__ import annotations

import sys
from functools import partial

import trio

from ...client.background import background
from ...client.errors import EndpointError
from .guest import GuestOptions, OpenSession
from .link_argument import find_link
from .reporter import Reporter
from .running import run_main
from .standard_copy import StandardCopy, require_output
from .status import Status


def run_pipe(argument: str | None, options: GuestOptions) -> int:
    """Run the command `arc-relay pipe`, and return the exit status.

    Raises WrongUsage if an argument is not valid.
    """
    require_output()
    reporter = Reporter(
        Status("host", "waiting for the host"), sys.stderr, quiet=options.quiet, single=True
    )
    opener = options.session_opener(find_link(argument), reporter.on_event)
    return trio.run(run_main, partial(pipe, opener, reporter))


async def pipe(open_session: OpenSession, reporter: Reporter) -> None:
    """Open a session, and copy until the streams in both directions have ended.

    Raises EndpointError, InputFailed or OutputFailed if the session or a standard stream fails.
    """
    copy = StandardCopy()
    async with background(reporter.run):
        try:
            async with open_session() as session:
                with reporter.traffic.counting(session):
                    await copy.run(session)
        except EndpointError as error:
            if not copy.is_clean(error):
                raise
