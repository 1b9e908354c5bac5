"""Settings as options: a flag and a variable for each; a flag beats a variable beats a default."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer

from ..daemon.settings import DaemonSettings
from ..field_types import Flag, Setting
from ..fields import Definition, iter_fields
from ..settings import RelaySettings

__all__ = [
    "WrongUsage",
    "flags_of",
    "help_text",
    "options",
    "refuse_unknown_variables",
    "settings_from",
    "settings_from_environment",
    "variable_of",
]

ENVIRONMENT: Final = "ARC_RELAY_"


class WrongUsage(typer.TyperException):
    """What was asked for makes no sense: the program says so in one line, and exits with 2."""

    exit_code = 2


def options() -> inspect.Signature:
    """Return the signature of a command that takes every setting as an option.

    The command gets what was said, in keyword arguments of the settings' names: None for what was
    not, a bool for a flag without a value, else the text. `settings_from` makes settings of it.
    """
    return inspect.Signature(
        [
            _parameter(definition)
            for kind in (DaemonSettings, RelaySettings)
            for definition in iter_fields(kind)
        ]
    )


def settings_from(
    given_options: Mapping[str, str | bool | None],
) -> tuple[DaemonSettings, RelaySettings]:
    """Return the settings of what was said in flags, else in variables, else by default.

    Raises WrongUsage, with the name of the flag or the variable, for what is not allowed.
    """
    with _usage():
        for_start, for_relay = (
            _given(DaemonSettings, given_options),
            _given(RelaySettings, given_options),
        )
        return (
            DaemonSettings(**for_start, given=frozenset(for_start)),
            RelaySettings(**for_relay),
        )


def settings_from_environment() -> DaemonSettings:
    """Return the settings that a relay has that was started in this environment without flags.

    Raises WrongUsage, with the name of the variable, for what is not allowed.
    """
    with _usage():
        given = _given(DaemonSettings, {})
        return DaemonSettings(**given, given=frozenset(given))


def refuse_unknown_variables() -> None:
    """Raise WrongUsage, with the nearest name that is known, if a variable is none of ours."""
    known = {
        variable_of(name)
        for kind in (DaemonSettings, RelaySettings)
        for name, _, _ in iter_fields(kind)
    }
    for name in sorted(os.environ):
        if name.startswith(ENVIRONMENT) and name not in known and os.environ[name]:
            (nearest,) = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0)
            raise WrongUsage(f"unknown variable {name}; did you mean {nearest}?")


def variable_of(name: str) -> str:
    """Return the name of the variable of a setting."""
    return f"{ENVIRONMENT}{name.upper()}"


def flags_of(name: str, about: Setting) -> list[str]:
    """Return the flags of a setting, the long one first; what is so or not has one for each."""
    words = name.replace("_", "-")
    flags = [f"--{words}", f"--no-{words}"] if isinstance(about, Flag) else [f"--{words}"]
    return [*flags, about.short] if about.short else flags


def help_text(about: Setting) -> str:
    """Return what a setting means and which values it may have, in two sentences."""
    return f"{about.help} {about.values[0].upper()}{about.values[1:]}."


def _parameter(definition: Definition) -> inspect.Parameter:
    name, default, about = definition
    flags = flags_of(name, about)
    annotation: Any = Annotated[
        bool | None if isinstance(about, Flag) else str | None,
        typer.Option(
            *(["/".join(flags)] if isinstance(about, Flag) else flags),
            # Variables are read in one place, for commands with these options and without them.
            help=f"{help_text(about)}  [default: {about.display(default)};"
            f" variable: {variable_of(name)}]",
            metavar=None if isinstance(about, Flag) else about.metavar,
            show_default=False,
        ),
    ]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _given(kind: type, given_options: Mapping[str, str | bool | None]) -> dict[str, Any]:
    """Return the values of the settings that a flag or a variable gives; raise ValueError."""
    given = {}
    for name, _, about in iter_fields(kind):
        flag, variable = given_options.get(name), os.environ.get(variable_of(name))
        if isinstance(flag, bool):
            given[name] = flag
        elif flag is not None:
            given[name] = about.parse(flags_of(name, about)[0], flag)
        elif variable:  # an empty one counts as not set
            given[name] = about.parse(variable_of(name), variable)
    return given


@contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise WrongUsage(str(error)) from None
