"""Command line: commands and exit statuses."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..daemon.errors import StartError
from ..daemon.program import PROGRAM, program_version
from ..daemon.standard_streams import OutputFailed
from .endpoint.commands import register as register_endpoint_commands
from .errors import describe_crash, output_failure, print_error, shortage
from .hash_code import hash_code
from .health import health
from .options import UNITS_HELP
from .probe.command import probe
from .start import start

app = typer.Typer(
    help="A blind WebSocket relay that joins two endpoints with the same pair code.",
    rich_markup_mode="rich",
)


app.command(epilog=UNITS_HELP)(start)
app.command()(health)
app.command()(probe)
app.command("hash")(hash_code)
register_endpoint_commands(app)


def main() -> None:
    """Run the command line and exit: status 0 for success, 1 for failure, 2 for wrong usage."""
    arguments = sys.argv[1:]
    try:
        status = app(arguments or ["--help"], prog_name=PROGRAM, standalone_mode=False)
        status = status if arguments else 2
    except typer.TyperException as error:
        print_error(error.format_message())
        status = error.exit_code
    except StartError as error:
        print_error(str(error))
        status = 1
    except OutputFailed as error:
        print_error(output_failure(error))
        status = 1
    except Exception as error:  # noqa: BLE001 - a traceback could quote client data
        resource = shortage(error)
        print_error(
            f"the system is short of resources: {resource} ({describe_crash(error)})"
            if resource
            else f"this is a fault of the program, please report it: {describe_crash(error)}"
        )
        status = 1
    sys.exit(status)


def show_version(wanted: bool) -> None:
    """Print the version and exit, if ``--version`` is given."""
    if wanted:
        typer.echo(f"{PROGRAM} {program_version()}")
        raise typer.Exit


@app.callback()
def global_options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Define the options that precede the command."""
