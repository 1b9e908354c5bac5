"""`arc-relay health`: request the health of a relay, for the health check of a container."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from ..daemon.standard_streams import OutputFailed
from .errors import output_failure, print_error
from .health_check import check_health
from .url import ConnectTarget, LocalListener, local_target, parse_target

__all__ = ["health_command"]


def health_command(listening: Callable[[], LocalListener]) -> Callable[[str | None], None]:
    """Return the command; without a URL, it asks the relay that ``listening`` returns."""

    def health(
        url: Annotated[
            str | None,
            typer.Argument(
                metavar="[URL]",
                help="A relay, as ws://, wss://, http://, https:// or unix:/path; by default the"
                " relay on this machine, from the environment variables of `start`.",
            ),
        ] = None,
    ) -> None:
        """Ask a relay for its health: status 0 if it is well, 1 if not."""
        found = check_health(local_target(listening()) if url is None else url_parameter(url))
        try:
            typer.echo(str(found))
        except BrokenPipeError:  # the exit status has the result
            pass
        except OutputFailed as error:  # the exit status has the result here, too
            print_error(output_failure(error))
        raise typer.Exit(0 if found.healthy else 1)

    return health


def url_parameter(text: str) -> ConnectTarget:
    """Parse a URL argument; report an invalid one as wrong usage."""
    try:
        return parse_target(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="URL") from None
