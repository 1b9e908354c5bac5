"""`arc-relay share`: let guests with the link reach a target."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from typing import Any, Final

import trio
import typer

from ...client import ClientEvent, EndpointError, Session, TargetError, Waiting, serve
from ...client.dial import connect_error_text
from ...daemon.errors import os_error_text
from ..access import find_token
from .copying import LocalStreamFailed, copy_both
from .links import choose_link, qr_code
from .options import SECRET_VARIABLES, TOKEN, Run, ShareOptions
from .reporter import Reporter
from .running import run
from .standard_io import StandardIO
from .status import Status, is_failure
from .targets import Address, Command, parse_target

CONNECT_TIMEOUT: Final = 10.0  # seconds
KILL_AFTER: Final = 5.0  # seconds from SIGTERM to SIGKILL
POLL: Final = 0.05  # seconds between two checks for members of a process group

Target = Address | Command | StandardIO


def prepare_share(options: ShareOptions) -> Run:
    """Return a function that runs `arc-relay share`.

    Raises ValueError if an option is not valid, and StartError if the link file cannot be written.
    """
    target = parse_target(options.target or ()) or StandardIO()
    once = isinstance(target, StandardIO)
    if options.link_file is None and not (sys.stderr and sys.stderr.isatty()):
        raise ValueError(
            "give --link-file, because standard error is no terminal: the link is a secret, and"
            " must not get into a log"
        )
    link = choose_link(options)
    status = Status("guest", "waiting for guests")
    reporter = Reporter(status, sys.stderr, quiet=options.quiet, single=once)
    arguments = options.session_arguments(link.url)
    arguments |= {"token": find_token(options.token_file, TOKEN), "once": once}
    is_shown = not reporter.is_terminal or (options.quiet and options.link_file is not None)

    async def handle(session: Session) -> None:
        with reporter.traffic.counting(session):
            await serve_target(target, session)

    def on_event(event: ClientEvent) -> None:
        nonlocal is_shown
        if isinstance(event, Waiting) and not is_shown:
            is_shown = True
            reporter.draw("")
            code = qr_code(link.text, shutil.get_terminal_size().columns)
            typer.echo(f"{code}\n{link.text}" if code else link.text, err=True)
        reporter.on_event(event)

    async def share() -> None:
        try:
            await serve(
                link, handle, max_sessions=options.max_guests, on_event=on_event, **arguments
            )
        except EndpointError as error:
            is_complete = isinstance(target, StandardIO) and target.is_output_complete
            if is_failure(error) or not is_complete:
                raise

    return partial(run, share, reporter)


async def serve_target(target: Target, session: Session) -> None:
    """Connect a session to a target until both streams have ended.

    Raises TargetError if the target fails, and the EndpointError of a session that fails.
    Cancellation closes the connection to the target, or ends the processes of the command.
    """
    try:
        if isinstance(target, StandardIO):
            await copy_both(session, target)
        elif isinstance(target, Address):
            async with await connect_to(target) as stream:
                await copy_both(session, stream)
        else:
            await serve_command(target, session)
    except LocalStreamFailed as error:
        raise TargetError(f"the connection to the target failed: {error}") from None


async def connect_to(address: Address) -> trio.SocketStream:
    """Connect to a socket. If this fails, raise TargetError with the cause."""
    try:
        with trio.fail_after(CONNECT_TIMEOUT):
            if address.path:
                return await trio.open_unix_socket(address.path)
            return await trio.open_tcp_stream(address.host, address.port)
    except (OSError, trio.TooSlowError) as error:
        cause = connect_error_text(error) if isinstance(error, OSError) else "timeout"
        raise TargetError(f"cannot connect to the target: {cause}") from None


async def serve_command(command: Command, session: Session) -> None:
    """Run a command until it has ended. The session is its standard input and output.

    The command inherits standard error, and leads a new process group. The group is ended when this
    function returns, raises or is cancelled.
    """
    try:
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={key: text for key, text in os.environ.items() if key not in SECRET_VARIABLES},
            start_new_session=True,
        )
    except OSError as error:
        raise TargetError(f"cannot start the command: {os_error_text(error)}") from None
    stream: Any = process.stdio  # never None, because both of its streams are pipes
    try:
        await copy_both(session, stream, process)
    finally:
        with trio.CancelScope(shield=True):
            await stream.aclose()
            await end_group(process)


async def end_group(process: trio.Process) -> None:
    """Send SIGTERM to the process group of a process, and SIGKILL if it still exists later."""
    signal_group(process, signal.SIGTERM)
    with trio.move_on_after(KILL_AFTER):
        await process.wait()
        while signal_group(process, 0):  # noqa: ASYNC110 - the kernel reports only the leader's end
            await trio.sleep(POLL)
        return
    signal_group(process, signal.SIGKILL)
    await process.wait()


def signal_group(process: trio.Process, number: int) -> bool:
    """Send a signal to the process group of a process. Return True if a process received it."""
    try:
        os.killpg(process.pid, number)
    except OSError:  # no process is left, or all run as another user, whom no signal can reach
        return False
    return True
