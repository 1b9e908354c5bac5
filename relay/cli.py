"""The command line: the only module that reads arguments and the environment, or sees a signal."""

from __future__ import annotations

import gc
import inspect
import logging
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import fields
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any, Final

import trio
import typer

from .server import serve_relay
from .settings import RelaySettings, Setting

__all__ = ["main"]

PROGRAM: Final = "arc-relay"
ENVIRONMENT: Final = "ARC_RELAY_"

app = typer.Typer(
    help="A blind WebSocket relay that joins two endpoints with the same pair code.",
    rich_markup_mode=None,
    add_completion=False,
)


def main() -> None:
    """Run the command line and exit: 0 done, 1 could not start, 2 wrong usage."""
    try:
        status = app(prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        complain(error.format_message())
        status = error.exit_code
    sys.exit(status)


def complain(problem: str) -> None:
    """Say in one line what is wrong."""
    typer.echo(f"{PROGRAM}: {problem}", err=True)


def show_version(wanted: bool) -> None:
    """Print the version and exit, if wanted."""
    if wanted:
        typer.echo(f"{PROGRAM} {version(PROGRAM)}")
        raise typer.Exit


@app.callback()
def common(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options that stand before the command."""


def start(**options: Any) -> None:
    """Run the relay until SIGINT or SIGTERM."""
    logging.basicConfig(format=f"{PROGRAM}: %(message)s", level=logging.WARNING)
    # Connections come and go by the thousand, and what one leaves behind is not worth looking
    # for as eagerly as the defaults do: that took a third of the cost of a new pair.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    host, port = options.pop("host"), options.pop("port")
    status = trio.run(run, host, port, RelaySettings(**options))
    raise typer.Exit(status)


async def run(host: str, port: int, settings: RelaySettings) -> int:
    """Listen, say so, and serve until a signal comes; return the exit status."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        try:
            listeners = await trio.open_tcp_listeners(port, host=host)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or str(error)
            complain(f"cannot listen on --host {host!r} --port {port}: {why}")
            return 1
        async with trio.open_nursery() as nursery:
            serve = partial(serve_relay, listeners=listeners, settings=settings)
            handle = await nursery.start(serve)
            name = f"[{handle.host}]" if ":" in handle.host else handle.host
            typer.echo(f"{PROGRAM} listening on ws://{name}:{handle.port} (health at /health)")
            await anext(signals)
            # An impatient second signal, left unread, would end the program by itself.
            nursery.start_soon(ignore, signals)
            await handle.stop()
            nursery.cancel_scope.cancel()
    return 0


async def ignore(signals: AsyncIterator[int]) -> None:
    """Take signals until cancelled, and do nothing."""
    async for _ in signals:
        pass


def option(name: str, about: Setting, default: object, *flags: str) -> inspect.Parameter:
    """Return the parameter of a command for a setting, with its flags and its variable."""

    def parse(text: str) -> object:
        try:
            return about.parse(name, text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    annotation: Any = Annotated[
        about.kind,
        typer.Option(
            f"--{name.replace('_', '-')}",
            *flags,
            envvar=f"{ENVIRONMENT}{name.upper()}",
            metavar=about.kind.__name__.upper(),
            parser=parse,
            help=f"{about.help} {about.values.capitalize()}.",
        ),
    ]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


HOST: Final = inspect.Parameter(
    "host",
    inspect.Parameter.KEYWORD_ONLY,
    default="0.0.0.0",  # noqa: S104 - a relay that only this machine reaches joins nobody
    annotation=Annotated[
        str,
        typer.Option("--host", "-H", envvar=f"{ENVIRONMENT}HOST", help="The address to listen on."),
    ],
)
PORT: Final = Setting(
    "The port to listen on; 0 lets the system choose.",
    "a whole number from 0 to 65535",
    int,
    minimum=0,
    maximum=65535,
)
start.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        HOST,
        option("port", PORT, 8765, "-p"),
        *(
            option(item.name, item.metadata["setting"], item.default)
            for item in fields(RelaySettings)
        ),
    ]
)
app.command()(start)
