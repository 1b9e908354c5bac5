"""Declaration of the commands share, pipe and forward for the command line.

Each function imports its implementation when it runs, because this import takes as long as the
start of a relay and needs the extra `client`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from ...daemon.errors import StartError
from ...daemon.program import DISTRIBUTION
from ...fields import Field, seconds
from ..options import WrongUsage
from .variables import LINK, TOKEN

EXTRA: Final = {"cryptography", "segno"}

RESUME_TIMEOUT: Final[Field] = seconds(300, "").metadata["field"]

SHARE_EXAMPLE: Final = (
    "The link is secret: everyone who has it can connect as a guest. The relay sees only encrypted"
    " bytes. Example: arc-relay share ssh --via wss://relay.example/"
)
PIPE_EXAMPLE: Final = "Example: ssh -o ProxyCommand='arc-relay pipe --quiet @home.link' me@home"
FORWARD_EXAMPLE: Final = "Example: arc-relay forward @home.link 8080"

Ca = Annotated[
    str, typer.Option(metavar="PATH", help="Trust only the authorities in this PEM file.")
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Do not verify the certificate of the relay.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Write only errors to standard error.")]
Resume = Annotated[
    str,
    typer.Option(
        "--resume-timeout",
        metavar="TIME",
        help="End a session that has had no connection for this time, such as 5m.",
    ),
]
LinkArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="LINK",
        show_default=False,
        help=f"The link, or @FILE for a file with the link. By default, the variable {LINK}."
        " Other users of this machine can see a link on the command line.",
    ),
]


class ShareCommand(TyperCommand):
    """Command whose last argument may be a command line after ``--``.

    The parser removes the first ``--``. This class adds a second ``--`` for `parse_target`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from .targets import SEPARATOR  # noqa: PLC0415 - see the docstring of the module

        if SEPARATOR in args:
            place = args.index(SEPARATOR)
            args = [*args[:place], SEPARATOR, *args[place:]]
        return super().parse_args(ctx, args)


def share(  # noqa: PLR0913, PLR0917 - typer makes an option of each parameter
    target: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET | -- COMMAND [ARGUMENT]...",
            show_default=False,
            help="What guests reach: ssh (port 22 of this machine), PORT, HOST:PORT, unix:PATH,"
            " - (standard input and output, for one guest), or a command that runs once for each"
            " guest.",
        ),
    ] = None,
    via: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            show_default=False,
            help="URL of the relay, such as wss://relay.example/. Not needed if the link file"
            " exists.",
        ),
    ] = None,
    link_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Keep the link in this file, so that the next start uses the same link.",
        ),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Replace the link in the link file with a new link.")
    ] = False,
    token_file: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help=f"File with the token of the relay, if the relay needs one. By default, the"
            f" variable {TOKEN} gives the token.",
        ),
    ] = "",
    ca: Ca = "",
    insecure: Insecure = False,
    resume_timeout: Resume = "5m",
    max_guests: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum number of guests at the same time.")
    ] = 100,
    quiet: Quiet = False,
    systemd: Annotated[
        bool,
        typer.Option("--systemd", help="Print a systemd unit with these options, and exit."),
    ] = False,
) -> None:
    """Let guests with the link reach a local port, a socket, a command or standard input."""
    from .targets import parse_target  # noqa: PLC0415 - see the docstring of the module

    with wrong_usage():
        chosen = parse_target(target or ())
        resume = RESUME_TIMEOUT.parse("--resume-timeout", resume_timeout)
    if systemd:
        from .systemd_unit import unit_for  # noqa: PLC0415 - likewise

        if link_file or new:
            raise WrongUsage("--link-file and --new must be left out: a unit has a link of its own")

        values = {
            "--ca": ca and str(Path(ca).absolute()),
            "--resume-timeout": resume_timeout,
            "--max-guests": str(max_guests),
        }
        flags = {"--insecure": insecure, "--quiet": quiet}
        with wrong_usage():
            typer.echo(unit_for(chosen, via, token_file, values, flags), nl=False)
        return
    with extra_needed():
        from .share import ShareOptions, run_share  # noqa: PLC0415 - likewise
    options = ShareOptions(
        via=via,
        link_file=link_file,
        new=new,
        token_file=token_file,
        ca=ca,
        insecure=insecure,
        resume_timeout=resume,
        max_guests=max_guests,
        quiet=quiet,
    )
    raise typer.Exit(run_share(chosen, options))


def pipe(
    link: LinkArgument = None,
    ca: Ca = "",
    insecure: Insecure = False,
    resume_timeout: Resume = "5m",
    quiet: Quiet = False,
) -> None:
    """Connect standard input and output to the target that a host shares."""
    with wrong_usage():
        resume = RESUME_TIMEOUT.parse("--resume-timeout", resume_timeout)
    with extra_needed():
        from .guest import GuestOptions  # noqa: PLC0415 - likewise
        from .pipe import run_pipe  # noqa: PLC0415 - likewise
    options = GuestOptions(ca=ca, insecure=insecure, resume_timeout=resume, quiet=quiet)
    raise typer.Exit(run_pipe(link, options))


def forward(  # noqa: PLR0913, PLR0917 - likewise
    link: LinkArgument = None,
    local: Annotated[
        str | None,
        typer.Argument(
            metavar="LOCAL",
            show_default=False,
            help="Where to listen: PORT, HOST:PORT or unix:PATH; by default a free port of"
            " 127.0.0.1, which is printed.",
        ),
    ] = None,
    ca: Ca = "",
    insecure: Insecure = False,
    resume_timeout: Resume = "5m",
    quiet: Quiet = False,
) -> None:
    """Listen on a local port or socket, and connect each client to the target of a host."""
    with wrong_usage():
        resume = RESUME_TIMEOUT.parse("--resume-timeout", resume_timeout)
    with extra_needed():
        from .forward import run_forward  # noqa: PLC0415 - likewise
        from .guest import GuestOptions  # noqa: PLC0415 - likewise
    options = GuestOptions(ca=ca, insecure=insecure, resume_timeout=resume, quiet=quiet)
    raise typer.Exit(run_forward(link, local, options))


@contextmanager
def wrong_usage() -> Iterator[None]:
    """Turn a ValueError into WrongUsage."""
    try:
        yield
    except ValueError as error:
        raise WrongUsage(str(error)) from None


@contextmanager
def extra_needed() -> Iterator[None]:
    """Turn a missing library of the extra `client` into a StartError with the install command."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        raise StartError(
            f"{error.name} is not installed; run: pip install '{DISTRIBUTION}[client]'"
        ) from None


def register(app: typer.Typer) -> None:
    """Add the commands share, pipe and forward to the command line."""
    app.command(cls=ShareCommand, epilog=SHARE_EXAMPLE)(share)
    app.command(epilog=PIPE_EXAMPLE)(pipe)
    app.command(epilog=FORWARD_EXAMPLE)(forward)
