"""`arc-relay share`: let guests with the link reach a target."""

from __future__ import annotations

import shutil
import ssl
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio
import typer

from ...client import Session, serve
from ...client.background import background
from ...client.errors import EndpointError, InvalidLink
from ...client.events import ClientEvent, Waiting
from ...client.link import Link
from ...client.link_file import create_link_file
from ...client.url import parse_url
from ...daemon.errors import StartError, os_error_text
from ..access import find_token, tls_context
from ..options import WrongUsage
from .handlers import Handler, handler_for
from .link_argument import open_link
from .qr import qr_code
from .reporter import Reporter
from .running import run_main
from .screen import Screen
from .standard_copy import StandardCopy, require_output
from .status import Status
from .targets import StandardStreams, Target
from .variables import TOKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareOptions:
    """Options of `arc-relay share`."""

    via: str | None
    link_file: str | None
    new: bool
    token_file: str
    ca: str
    insecure: bool
    resume_timeout: float
    max_guests: int
    quiet: bool


def run_share(target: Target, options: ShareOptions) -> int:
    """Share a target until the command ends, and return the exit status.

    Raises WrongUsage if an option is not valid, and StartError if the link file cannot be written.
    """
    if isinstance(target, StandardStreams):
        require_output()
    if options.link_file is None and not (sys.stderr and sys.stderr.isatty()):
        raise WrongUsage(
            "give --link-file, because standard error is no terminal: the link is a secret, and"
            " must not get into a log"
        )
    link = choose_link(options.via, options.link_file, new=options.new)
    try:
        token = find_token(options.token_file, TOKEN)
        context = tls_context(parse_url(link.url), options.ca, insecure=options.insecure)
    except ValueError as error:
        raise WrongUsage(str(error)) from None
    return trio.run(run_main, partial(share, target, link, options, token, context))


def choose_link(via: str | None, path: str | None, *, new: bool) -> Link:
    """Return the link in a file, or a new link. Create the file if it does not exist.

    Args:
        via: URL of the relay; None to take it from the link in the file.
        path: Link file; None for a new link that is in no file.
        new: True to replace the link in the file with a new link.

    Raises WrongUsage if the options contradict each other or the file, and StartError if the file
    cannot be written.
    """
    if path is None:
        if new:
            raise WrongUsage("--new replaces the link in a file: give --link-file, too")
        return new_link(via)
    try:
        if not Path(path).exists():
            link = new_link(via)
            create_link_file(path, link)
            return link
        link = open_link(path)
        if new:
            link = new_link(via or link.url)
            create_link_file(path, link, replace=True)
    except OSError as error:
        raise StartError(f"cannot write --link-file {path!r}: {os_error_text(error)}") from None
    except ValueError as error:
        raise WrongUsage(f"--link-file: {error}") from None
    if via is not None and new_link(via).url != link.url:
        raise WrongUsage(
            f"the link in {path!r} has another relay than --via: leave out --via, or replace the"
            " link with --new"
        )
    return link


def new_link(via: str | None) -> Link:
    """Return a new link for a relay URL. Raises WrongUsage if the URL is missing or not valid."""
    if via is None:
        raise WrongUsage("give the URL of the relay with --via, as in --via wss://relay.example/")
    try:
        return Link.new(via)
    except InvalidLink as error:
        raise WrongUsage(f"--via: {error}") from None


async def share(
    target: Target,
    link: Link,
    options: ShareOptions,
    token: str | None,
    context: ssl.SSLContext | None,
) -> None:
    """Serve guests until cancelled. With standard input and output, serve only one guest.

    Raises EndpointError if the relay cannot be reached or refuses the host. If the session of the
    only guest fails, raises EndpointError, InputFailed or OutputFailed.
    """
    copy = StandardCopy()
    once = isinstance(target, StandardStreams)
    handler = copy.run if isinstance(target, StandardStreams) else handler_for(target)
    reporter = Reporter(
        Status("guest", "waiting for guests"), sys.stderr, quiet=options.quiet, single=once
    )
    is_shown = False

    def on_event(event: ClientEvent) -> None:
        nonlocal is_shown
        if isinstance(event, Waiting) and not is_shown:
            is_shown = True
            show_link(link, options, reporter.screen)
        reporter.on_event(event)

    async with background(reporter.run):
        try:
            await serve(
                link,
                counted(handler, reporter),
                token=token,
                ssl_context=context,
                resume_timeout=options.resume_timeout,
                max_sessions=options.max_guests,
                once=once,
                on_event=on_event,
            )
        except EndpointError as error:
            if not copy.is_clean(error):
                raise


def counted(handler: Handler, reporter: Reporter) -> Handler:
    """Wrap a handler, so that the reporter counts the bytes of its sessions."""

    async def handle(session: Session) -> None:
        with reporter.traffic.counting(session):
            await handler(session)

    return handle


def show_link(link: Link, options: ShareOptions, screen: Screen) -> None:
    """Write the link and its QR code to standard error if it is a terminal.

    With --quiet, write nothing if the link is in a file.
    """
    if not screen.is_terminal or (options.quiet and options.link_file):
        return
    code = qr_code(link.text, shutil.get_terminal_size().columns)
    screen.draw("")
    typer.echo(f"{code}\n{link.text}" if code else link.text, err=True)
