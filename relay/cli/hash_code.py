"""`arc-relay hash`: print the hash that stands for a pair code in the log of the running relay."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from getpass import getpass
from http import HTTPStatus
from typing import Annotated, Final

import trio
import typer

from ..client.dial import ConnectTarget
from ..daemon.errors import StartError
from ..daemon.settings import DaemonSettings
from .http_client import LOOPBACK_FOR, TIMEOUT, fetch, parse_target
from .options import WrongUsage, read_settings

PATH: Final = "/hash"
HASH: Final = re.compile("[0-9a-f]+")


def hash_code(
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL",
            help="The address of a relay's metrics, as http://HOST:PORT; by default the metrics of"
            " the relay on this machine, from the variable ARC_RELAY_METRICS.",
        ),
    ] = None,
) -> None:
    """Print the hash that stands for a pair code in the log of the running relay.

    The code is read from standard input.
    """
    try:
        target = metrics_target(url)
    except ValueError as error:
        raise WrongUsage(str(error)) from None
    typer.echo(trio.run(fetch_hash, target, read_code()))


def metrics_target(url: str | None) -> ConnectTarget:
    """Return the target for ``POST /hash``: at ``url``, or at the address in ARC_RELAY_METRICS.

    Raises ValueError like `parse_target`. Raises WrongUsage if there is neither a URL nor a metrics
    address.
    """
    if url is not None:
        return replace(parse_target(url), path=PATH)
    address = read_settings(DaemonSettings, {}).metrics_address
    if address is None:
        raise WrongUsage(
            "give the URL of the relay's metrics, or set ARC_RELAY_METRICS to the relay's value"
        )
    host, port = address
    return ConnectTarget(LOOPBACK_FOR.get(host, (host,)), port, path=PATH)


def read_code() -> bytes:
    """Read a code from standard input, without echo on a terminal, because a code is secret."""
    if sys.stdin is None:  # the shell closed it
        raise WrongUsage("the pair code is read from standard input, which is closed")
    try:
        if sys.stdin.isatty():
            return getpass("Pair code: ").encode(errors="surrogateescape")
        return sys.stdin.buffer.readline().rstrip(b"\r\n")
    except (EOFError, OSError):  # Ctrl-D at the prompt, or a file that is open only for writing
        raise WrongUsage("the pair code cannot be read from standard input") from None


async def fetch_hash(target: ConnectTarget, code: bytes) -> str:
    """Request the hash of a code from a relay; ``target`` is the address of the relay's metrics.

    Raises `StartError` with the cause if the response has no hash. Cancellation closes the
    connection.
    """
    return parse_hash(target, *await fetch(target, TIMEOUT, code))


def parse_hash(target: ConnectTarget, status: int, body: bytes) -> str:
    """Return the hash in a response; raise `StartError` if the response has no hash."""
    if status == HTTPStatus.BAD_REQUEST:
        raise StartError("the pair code must have 1 to 256 characters, in UTF-8")
    try:
        found = json.loads(body)["pair"] if status == HTTPStatus.OK else ""
    except (ValueError, RecursionError, TypeError, KeyError):
        found = ""
    if not isinstance(found, str) or not HASH.fullmatch(found):
        raise StartError(f"HTTP {status}, and not from the metrics of an arc-relay, at {target}")
    return found
