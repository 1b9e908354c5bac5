"""`arc-relay health`: request the health of a relay, for the health check of a container."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

import trio
import typer

from ..client.dial import ConnectTarget
from ..daemon.errors import StartError
from ..daemon.settings import DaemonSettings
from ..daemon.standard_streams import OutputFailed
from .errors import output_failure, print_error
from .http_client import TIMEOUT, fetch, local_target, parse_target
from .options import WrongUsage, read_settings


@dataclass(frozen=True, slots=True)
class Health:
    """Result of a health check."""

    healthy: bool
    text: str
    """Number of pairs, or the problem, in one line."""
    pairs: int | None = None
    """Number of codes in use; None if the relay is not healthy."""

    def __str__(self) -> str:
        return f"{'healthy' if self.healthy else 'unhealthy'}: {self.text}"


def health(
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL",
            help="A relay, as ws://, wss://, http://, https:// or unix:/path; by default the"
            " relay on this machine, from the environment variables of `start`.",
        ),
    ] = None,
) -> None:
    """Request the health of a relay; exit with status 0 if the relay is healthy, 1 if not."""
    try:
        target = (
            local_target(read_settings(DaemonSettings, {})) if url is None else parse_target(url)
        )
    except ValueError as error:
        raise WrongUsage(str(error)) from None
    result = trio.run(check_health, target)
    try:
        typer.echo(str(result))
    except BrokenPipeError:  # the exit status still reports the result
        pass
    except OutputFailed as error:  # the exit status still reports the result
        print_error(output_failure(error))
    raise typer.Exit(0 if result.healthy else 1)


async def check_health(target: ConnectTarget, timeout: float = TIMEOUT) -> Health:  # noqa: ASYNC109
    """Request the health of a relay within ``timeout`` seconds.

    If the connection fails or the response is invalid, the result is unhealthy, and no exception is
    raised. Cancellation closes the connection.
    """
    try:
        status, body = await fetch(target, timeout)
    except StartError as error:
        return Health(False, str(error))
    return parse_health(target, status, body)


def parse_health(target: ConnectTarget, status: int, body: bytes) -> Health:
    """Return the health that a response reports."""
    try:
        report = json.loads(body)
    except (ValueError, RecursionError):
        report = None
    if not isinstance(report, dict) or "ok" not in report:
        return Health(False, f"HTTP {status}, and not from an arc-relay, at {target}")
    if report.get("draining"):
        return Health(False, "draining")
    pairs = report.get("pairs")
    if status != HTTPStatus.OK or not report["ok"] or not isinstance(pairs, int):
        return Health(False, f"HTTP {status} at {target}")
    return Health(True, f"{pairs} pair{'' if pairs == 1 else 's'}", pairs)
