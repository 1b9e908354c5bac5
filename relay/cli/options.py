"""Settings as command line options: a flag and an environment variable for each.

A flag overrides a variable, and a variable overrides the default.
"""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

import typer

from ..daemon.settings import DaemonSettings
from ..fields import Definition, Field, iter_fields
from ..settings import RelaySettings

ENVIRONMENT: Final = "ARC_RELAY_"
KINDS: Final = (DaemonSettings, RelaySettings)
SettingsT = TypeVar("SettingsT", DaemonSettings, RelaySettings)


class WrongUsage(typer.TyperException):
    """Wrong usage of a command; the program prints one line and exits with status 2."""

    exit_code = 2


def options() -> inspect.Signature:
    """Return the signature of a command with one option for each setting.

    The command receives a keyword argument for each setting: the text of the option, a bool for a
    boolean flag, or None if the option is not given. `read_settings` turns them into settings.
    """
    return inspect.Signature([_parameter(it) for kind in KINDS for it in iter_fields(kind)])


def read_settings(kind: type[SettingsT], flags: Mapping[str, str | bool | None]) -> SettingsT:
    """Return settings from flags, environment variables and defaults, in this order.

    Raises WrongUsage, with the name of the flag or variable, for a value that is not allowed.
    """
    given: dict[str, Any] = {}
    try:
        for name, _, about in iter_fields(kind):
            flag, variable = flags.get(name), os.environ.get(variable_of(name))
            if isinstance(flag, bool):
                given[name] = flag
            elif flag is not None:
                given[name] = about.parse(flags_of(name, about)[0], flag)
            elif variable:  # an empty variable counts as unset
                given[name] = about.parse(variable_of(name), variable)
        if kind is DaemonSettings:
            given["given"] = frozenset(given)
        return kind(**given)
    except ValueError as error:
        raise WrongUsage(str(error)) from None


def refuse_unknown_variables() -> None:
    """Raise WrongUsage, with the nearest known name, for an unknown ``ARC_RELAY_`` variable."""
    known = {variable_of(name) for kind in KINDS for name, _, _ in iter_fields(kind)}
    for name in sorted(os.environ):
        if name.startswith(ENVIRONMENT) and name not in known and os.environ[name]:
            (nearest,) = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0)
            raise WrongUsage(f"unknown variable {name}; did you mean {nearest}?")


def variable_of(name: str) -> str:
    """Return the name of the environment variable of a setting."""
    return f"{ENVIRONMENT}{name.upper()}"


def flags_of(name: str, about: Field) -> list[str]:
    """Return the flags of a setting, the long one first; a boolean has a negated flag, too."""
    words = name.replace("_", "-")
    flags = [f"--{words}", f"--no-{words}"] if about.kind is bool else [f"--{words}"]
    return [*flags, about.short] if about.short else flags


def help_text(about: Field) -> str:
    """Return the meaning and the allowed values of a setting, in two sentences."""
    return f"{about.help} {about.values[0].upper()}{about.values[1:]}."


def _parameter(definition: Definition) -> inspect.Parameter:
    name, default, about = definition
    flags = flags_of(name, about)
    annotation: Any = Annotated[
        bool | None if about.kind is bool else str | None,
        typer.Option(
            *(["/".join(flags)] if about.kind is bool else flags),
            # `read_settings` reads the variables, also for commands without these options.
            help=f"{help_text(about)}  [default: {about.display(default)};"
            f" variable: {variable_of(name)}]",
            metavar=None if about.kind is bool else about.metavar,
            show_default=False,
        ),
    ]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )
