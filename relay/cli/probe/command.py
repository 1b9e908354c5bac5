"""`arc-relay probe`: open a pair through every proxy in front of a relay, and check each step."""

from __future__ import annotations

import secrets
import signal
from functools import partial
from typing import Annotated, Final

import trio
import typer

from ...client.url import parse_url
from ...daemon.standard_streams import OutputFailed
from ...fields import Field, integer, seconds
from ...protocol.query import decode_code, find_parameters
from ...server.exception_groups import leaves
from ..access import find_token, require_token, tls_context
from ..errors import print_error
from ..health import check_health
from ..options import WrongUsage
from .attempt import Plan
from .client import ConnectOptions, dial
from .report import JsonReport, Report, TextReport, failed
from .runner import run_probe

MAX_SIZE: Final = 2**30
"""Maximum value of --size, in bytes. The size is limited because several copies of a large message
are in memory at once."""

IDLE: Final[Field] = seconds(0, "", zero="no silence").metadata["field"]
TIMEOUT: Final[Field] = seconds(30, "").metadata["field"]
SIZE: Final[Field] = integer(0, "", of="bytes", maximum=MAX_SIZE).metadata["field"]

LOOK_TIMEOUT: Final = 5.0

VARIABLE: Final = "ARC_PROBE_TOKEN"
"""Environment variable that contains the token. Its prefix differs from ``ARC_RELAY_``, the prefix
of the settings."""

INTERRUPTED: Final = 130
"""Exit status that shells report for a program that SIGINT ended."""


def probe(  # noqa: PLR0913, PLR0917 - typer makes an option of each parameter
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="The relay, as its clients reach it: wss://relay.example/path, or unix:/path.",
        ),
    ],
    token: Annotated[
        str,
        typer.Option(
            metavar="TOKEN",
            help=f"The token of the relay. Other users of this machine can see it in the list of"
            f" processes; they cannot see a token from --token-file or the variable {VARIABLE}.",
        ),
    ] = "",
    token_file: Annotated[
        str, typer.Option(metavar="PATH", help="The file with the token of the relay.")
    ] = "",
    ca: Annotated[
        str, typer.Option(metavar="PATH", help="Trust only the authorities in this PEM file.")
    ] = "",
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Do not verify the certificate of the relay.")
    ] = False,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Send small messages only, less than 2 KB in all: for a cron job."
        ),
    ] = False,
    idle: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Time of silence, such as 90s, to detect read timeouts of proxies.",
        ),
    ] = "0",
    size: Annotated[
        str,
        typer.Option(
            metavar="SIZE", help="The size of a large message, such as 10MB; 0 sends none."
        ),
    ] = "4MiB",
    timeout: Annotated[str, typer.Option(metavar="TIME", help="Timeout of a step.")] = "30s",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, at the end.")
    ] = False,
) -> None:
    """Open a pair through URL and report each step; exit with status 0 if all succeed, 1 if not."""
    try:
        where = parse_url(url)
        target = where.target(tls_context(where, ca, insecure=insecure))
        limit = TIMEOUT.parse("--timeout", timeout)
        plan = Plan(
            request=ConnectOptions(
                open_stream=partial(dial, target),
                authority=where.authority,
                resource=f"{where.path}?{add_pair_code(where.query)}",
                headers=authorization(token, token_file),
                max_message_size=MAX_SIZE,
            ),
            check_health=partial(check_health, target, min(limit, LOOK_TIMEOUT)),
            idle=IDLE.parse("--idle", idle),
            size=SIZE.parse("--size", size),
            timeout=limit,
            quick=quick,
        )
    except ValueError as error:
        raise WrongUsage(str(error)) from None
    report = JsonReport(str(where)) if as_json else TextReport(str(where))
    raise typer.Exit(trio.run(run, plan, report))


def authorization(token: str, path: str) -> tuple[tuple[bytes, bytes], ...]:
    """Return the Authorization header with the token; () if there is no token.

    The token is ``token`` itself, or is read from the file ``path``, or from an environment
    variable. Raises ValueError if the token cannot be used. The message names the option or the
    variable, and does not quote the token.
    """
    if token and path:
        raise ValueError("--token must be left out with --token-file")
    found = require_token(token, "--token") or find_token(path, VARIABLE)
    return ((b"Authorization", f"Bearer {found}".encode()),) if found else ()


def add_pair_code(query: str) -> str:
    """Add a new pair code to a query without a code; return a query with a code unchanged.

    Raises ValueError if the code in the query is invalid.
    """
    found = find_parameters(f"?{query}".encode())
    if found is not None and b"pair" in found:
        if decode_code(found[b"pair"]) is None:
            raise ValueError("URL must hold a pair code of 1 to 256 characters, or none")
        return query
    code = f"pair={secrets.token_hex(16)}"
    return f"{query}&{code}" if query else code


async def run(plan: Plan, report: Report) -> int:
    """Run a probe and report its results; return the exit status.

    SIGINT ends the probe early, unless the signal was ignored when the command was started.
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
    """Cancel ``scope`` at the first SIGINT."""
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        task_status.started()
        await anext(signals)
        scope.cancel()
