"""`arc-relay share`: let guests with the link reach a target."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import partial
from shutil import get_terminal_size
from typing import Any, Final

import trio
import typer

from ...client import ClientEvent, Session, TargetError, Waiting, serve
from ...client.dial import connect_error_text
from ...daemon.errors import os_error_text
from ..access import find_token
from .copying import LocalStreamFailed, copy_both, ignore_close
from .links import choose_link, qr_code
from .options import SECRET_VARIABLES, TOKEN, Run, ShareOptions
from .reporter import Reporter
from .running import run
from .standard_io import StandardIO
from .status import Status
from .targets import Address, Command, parse_target

CONNECT_TIMEOUT: Final = 10.0  # seconds
KILL_AFTER: Final = 5.0  # seconds from SIGTERM to SIGKILL
POLL: Final = 0.05  # seconds between two checks for members of a process group


def prepare_share(options: ShareOptions) -> Run:
    """Return a function that runs `arc-relay share`. Raises ValueError or StartError."""
    target = parse_target(options.target or ()) or StandardIO()
    once = isinstance(target, StandardIO)
    reporter = Reporter(Status("guest", "waiting for guests"), quiet=options.quiet, single=once)
    if options.link_file is None and not reporter.is_terminal:
        raise ValueError(
            "give --link-file, because standard error is no terminal: a log must not get the link"
        )
    link = choose_link(options)
    token = find_token(options.token_file, TOKEN)
    arguments = options.arguments(link.url)
    arguments |= {"token": token, "max_sessions": options.max_guests, "once": once}
    is_shown = not reporter.is_terminal or (options.quiet and options.link_file is not None)

    async def handle(session: Session) -> None:
        with reporter.traffic.counting(session):
            await serve_target(target, session)

    def on_event(event: ClientEvent) -> None:
        nonlocal is_shown
        if isinstance(event, Waiting) and not is_shown:
            is_shown = True
            reporter.draw("")
            typer.echo(qr_code(link.text, get_terminal_size().columns) + link.text, err=True)
        reporter.on_event(event)

    async def share() -> None:
        with ignore_close(target):
            await serve(link, handle, on_event=on_event, **arguments)

    return partial(run, share, reporter)


async def serve_target(target: Address | Command | StandardIO, session: Session) -> None:
    """Connect a session to a target until both streams have ended. Raises TargetError."""
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
    """Run a command with a session as its standard input and output. End its process group."""
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
