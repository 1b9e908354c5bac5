"""The commands share, pipe and forward on the command line.

Each imports its implementation when it runs, which takes time and needs the extra `client`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Final, TypeVar, get_type_hints

import trio
import typer
from typer.core import TyperCommand

from ...daemon.errors import StartError
from ...daemon.program import DISTRIBUTION
from ..options import WrongUsage
from .options import ForwardOptions, Options, PipeOptions, Run, ShareOptions

SHARE_EXAMPLE: Final = (
    "The link is secret: everyone who has it can connect as a guest. The relay sees only encrypted"
    " bytes. Example: arc-relay share ssh --via wss://relay.example/"
)
PIPE_EXAMPLE: Final = "Example: ssh -o ProxyCommand='arc-relay pipe --quiet @home.link' me@home"
FORWARD_EXAMPLE: Final = "Example: arc-relay forward @home.link 8080"

OptionsT = TypeVar("OptionsT", bound=Options)


def share(options: ShareOptions) -> Run:
    """Let guests with the link reach a local port, a socket, a command or standard input."""
    if options.systemd:
        from .systemd_unit import unit_for  # noqa: PLC0415 - see the docstring of the module

        typer.echo(unit_for(options), nl=False)
        raise typer.Exit
    from .share import prepare_share  # noqa: PLC0415 - likewise

    return prepare_share(options)


def pipe(options: PipeOptions) -> Run:
    """Connect standard input and output to the target that a host shares."""
    from .guest import prepare_pipe  # noqa: PLC0415 - likewise

    return prepare_pipe(options)


def forward(options: ForwardOptions) -> Run:
    """Listen on a local port or socket, and connect each client to the target of a host."""
    from .guest import prepare_forward  # noqa: PLC0415 - likewise

    return prepare_forward(options)


class ShareCommand(TyperCommand):
    """Command that passes ``--`` to `parse_target`, although the parser removes the first one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--" in args:
            args.insert(args.index("--"), "--")
        return super().parse_args(ctx, args)


def command(prepare: Callable[[OptionsT], Run], kind: type[OptionsT]) -> Callable[..., None]:
    """Return a function for typer: its parameters are the options, and it runs a command."""

    def run(**given: Any) -> None:
        try:
            main = prepare(kind(**given))
        except ValueError as error:
            raise WrongUsage(str(error)) from None
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in {"cryptography", "segno"}:
                raise
            install = f"pip install '{DISTRIBUTION}[client]'"
            raise StartError(f"{error.name} is not installed; run: {install}") from None
        raise typer.Exit(trio.run(main))

    hints, keyword = get_type_hints(kind), inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(it.name, keyword, default=it.metadata["typer"], annotation=hints[it.name])
        # The options of one command precede the options of all commands.
        for it in sorted(fields(kind), key=lambda it: it.name in Options.__annotations__)
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__doc__ = prepare.__doc__
    return run


def register(app: typer.Typer) -> None:
    """Add the commands share, pipe and forward to the command line."""
    app.command("share", cls=ShareCommand, epilog=SHARE_EXAMPLE)(command(share, ShareOptions))
    app.command("pipe", epilog=PIPE_EXAMPLE)(command(pipe, PipeOptions))
    app.command("forward", epilog=FORWARD_EXAMPLE)(command(forward, ForwardOptions))
