"""`arc-relay probe`: open a pair through all proxies to a relay, and check each step."""

from __future__ import annotations

import os
import secrets
import signal
import ssl
from functools import partial
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import parse_qs

import trio
import typer

from ...daemon.standard_streams import OutputFailed
from ...fields import read_number
from ...protocol.errors import leaves
from ...server.token_file import is_token
from ..client import ConnectTarget, client_context
from ..errors import print_error
from ..health import check_health
from ..url import Url, parse_url
from .attempt import Plan
from .client import ConnectOptions
from .dial import dial
from .report import JsonReport, Report, TextReport, failed
from .runner import run_probe

MAX_SECONDS: Final = 7 * 86400.0
MAX_SIZE: Final = 2**30
"""Maximum of --size in bytes; several copies of a large message are in memory at once."""

LOOK_TIMEOUT: Final = 5.0

INTERRUPTED: Final = 130
"""Exit status of a program that SIGINT ended, as shells report it."""


def number(kind: type[int | float], text: object) -> int | float:
    """Parse the number of an option with the syntax of settings; a default is a number already."""
    try:
        return read_number(str(text), kind)
    except ValueError:
        raise typer.BadParameter(f"it must be a number in digits, not {text!r}") from None


def probe(  # noqa: PLR0913, PLR0917 - typer makes an option of each parameter
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="The relay, as its clients reach it: wss://relay.example/path."
        ),
    ],
    token: Annotated[
        str, typer.Option(metavar="TOKEN", help="The token, sent as Authorization: Bearer TOKEN.")
    ] = "",
    ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Trust the authorities in FILE alone.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Do not verify the certificate of the relay.")
    ] = False,
    idle: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="Time of silence, to detect read timeouts of proxies.",
            parser=partial(number, float),
        ),
    ] = 0.0,
    size: Annotated[
        int,
        typer.Option(
            metavar="BYTES",
            help="The size of a large message; 0 sends none.",
            parser=partial(number, int),
        ),
    ] = 4 * 2**20,
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="Timeout of a step.", parser=partial(number, float)),
    ] = 30.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, at the end.")
    ] = False,
) -> None:
    """Open a pair through URL and report each step: status 0 if all succeed, 1 if not."""
    check_option(0 <= idle <= MAX_SECONDS, "--idle", "a number of seconds from 0 to a week")
    check_option(
        0 < timeout <= MAX_SECONDS, "--timeout", "a number of seconds over 0, up to a week"
    )
    check_option(0 <= size <= MAX_SIZE, "--size", f"a number of bytes from 0 to {MAX_SIZE}")
    check_option(not token or is_token(os.fsencode(token)), "--token", "visible ASCII characters")
    try:
        where = parse_url(url)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="URL") from None
    context = tls_context(where, ca, insecure=insecure)
    target = ConnectTarget((where.host,), where.port, tls=context, name=where.host)
    plan = Plan(
        request=ConnectOptions(
            open_stream=partial(dial, target),
            authority=where.authority,
            resource=f"{where.path}?{add_pair_code(where.query)}",
            headers=((b"Authorization", f"Bearer {token}".encode()),) if token else (),
            max_message_size=MAX_SIZE,
        ),
        check_health=partial(check_health, target, min(timeout, LOOK_TIMEOUT)),
        idle=idle,
        size=size,
        timeout=timeout,
    )
    report = JsonReport(str(where)) if as_json else TextReport(str(where))
    raise typer.Exit(trio.run(run, plan, report))


def check_option(good: bool, option: str, values: str) -> None:
    """Report an option as wrong usage, unless ``good`` is True."""
    if not good:
        raise typer.BadParameter(f"it must be {values}", param_hint=option)


def tls_context(url: Url, ca: Path | None, *, insecure: bool) -> ssl.SSLContext | None:
    """Return the TLS context for a URL; None for a URL without TLS."""
    if not url.tls:
        check_option(
            ca is None and not insecure, "URL", "wss:// for --ca or --insecure to mean something"
        )
        return None
    check_option(ca is None or not insecure, "--ca", "left out with --insecure")
    try:
        return client_context(verify=not insecure, ca=ca)
    except ssl.SSLError:
        raise typer.BadParameter("it holds no certificate", param_hint="--ca") from None
    except OSError as error:
        raise typer.BadParameter(str(error.strerror).lower(), param_hint="--ca") from None


def add_pair_code(query: str) -> str:
    """Add a new pair code to a query that has none."""
    if "pair" in parse_qs(query, keep_blank_values=True):
        return query
    code = f"pair={secrets.token_hex(16)}"
    return f"{query}&{code}" if query else code


async def run(plan: Plan, report: Report) -> int:
    """Run a probe and report its results; return the exit status.

    SIGINT ends it early, unless it was ignored when the command was started.
    """
    results, failure = None, None
    try:
        async with trio.open_nursery() as nursery:
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                await nursery.start(cancel_at_interrupt, nursery.cancel_scope)
            results = await run_probe(plan, report.step)
            nursery.cancel_scope.cancel()
    except* (BrokenPipeError, OutputFailed) as failures:
        failure = next(leaves(failures))
    if failure is not None:
        raise failure  # outside its group, so that callers can catch it by type
    if results is None:
        print_error("interrupted")
        return INTERRUPTED
    report.end(results)
    return 1 if failed(results) else 0


async def cancel_at_interrupt(
    scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]
) -> None:
    """Cancel scope at the first SIGINT."""
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        task_status.started()
        await anext(signals)
        scope.cancel()
