"""Run the process that serves one guest of `arc-relay share -- COMMAND`."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import trio

from ...client.errors import TargetError
from ...client.session import Session
from ...daemon.errors import os_error_text
from .copying import OutputFailed, copy_from_session, copy_to_session, run_both
from .variables import SECRET_VARIABLES

KILL_AFTER: Final = 5.0
"""Seconds from SIGTERM to SIGKILL when a process group is ended."""

POLL: Final = 0.05
"""Seconds between two checks of whether a process group still exists. They are necessary, because
the kernel reports only the exit of the leader."""


async def serve_command(arguments: Sequence[str], session: Session) -> None:
    """Run a command until it has ended. The session is its standard input and output.

    The command inherits standard error, and leads a new process group. The group is ended when this
    function returns, raises or is cancelled. Raises TargetError if the command cannot be started.
    """
    try:
        process = await trio.lowlevel.open_process(
            list(arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={key: text for key, text in os.environ.items() if key not in SECRET_VARIABLES},
            start_new_session=True,
        )
    except OSError as error:
        raise TargetError(f"cannot start the command: {os_error_text(error)}") from None
    try:
        await copy(process, session)
    finally:
        with trio.CancelScope(shield=True):
            await end_group(process)


async def copy(process: trio.Process, session: Session) -> None:
    """Copy between a process and a session, until both the process and its output have ended.

    A process that has closed its output, such as `cat >file`, may still read its input.
    """
    stream: Any = process.stdio  # never None, because both of its streams are pipes

    async def write() -> None:
        with suppress(OutputFailed):  # the process has closed its input, but may still write
            await copy_from_session(session, stream)

    async def read() -> None:
        await copy_to_session(stream, session)
        await process.wait()
        scope.cancel()

    with trio.CancelScope() as scope:
        await run_both(write, read)


async def end_group(process: trio.Process) -> None:
    """Send SIGTERM to the process group of a process, and SIGKILL if it still exists later."""
    stream: Any = process.stdio
    await stream.aclose()
    signal_group(process, signal.SIGTERM)
    with trio.move_on_after(KILL_AFTER):
        await process.wait()
        while signal_group(process, 0):  # noqa: ASYNC110 - the kernel has no event
            await trio.sleep(POLL)
        return
    signal_group(process, signal.SIGKILL)
    await process.wait()


def signal_group(process: trio.Process, number: int) -> bool:
    """Send a signal to the process group of a process. Return False if no process received it."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # every member runs as another user, which no signal can reach
        return False
    return True
