"""Settings as command line options, each with a flag and an environment variable.

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
from .endpoint.options import SECRET_VARIABLES

ENVIRONMENT: Final = "ARC_RELAY_"
KINDS: Final = (DaemonSettings, RelaySettings)

PANELS: Final = (
    "Options",
    "Network",
    "TLS",
    "Access",
    "Limits",
    "Timeouts",
    "Keepalive",
    "Logs and metrics",
)
"""Panels of ``start --help``, in order. Each setting names its panel in its `Field`."""

UNITS_HELP: Final = (
    "A TIME is a number of seconds, or has a unit (s, m, h, d): 90, 90s, 5m. A SIZE is a number of"
    " bytes, or has a unit (kB, MB, GB, KiB, MiB, GiB): 64KiB. Each option also has a variable:"
    " ARC_RELAY_PAIR_TTL for --pair-ttl."
)
"""Last paragraph of ``start --help``."""

SettingsT = TypeVar("SettingsT", DaemonSettings, RelaySettings)


class WrongUsage(typer.TyperException):
    """Wrong usage of a command; the program prints one line and exits with status 2."""

    exit_code = 2


def options() -> list[inspect.Parameter]:
    """Return the parameters of a command with one option for each setting.

    The command receives a keyword argument for each setting: the text of the option, a bool for a
    boolean flag, or None if the option is not given. `read_settings` parses these arguments.
    """
    found = [it for kind in KINDS for it in iter_fields(kind)]
    return [_parameter(it) for it in sorted(found, key=lambda it: PANELS.index(it.field.panel))]


Flags = Mapping[str, str | bool | None]
"""Values that a command receives for the parameters of `options`, keyed by setting names."""


def sources(flags: Flags) -> dict[str, str]:
    """Return the flag or variable that sets each setting, keyed by the name of the setting.

    A flag overrides a variable. Settings with neither are omitted.
    """
    found: dict[str, str] = {}
    for name, _, about in (it for kind in KINDS for it in iter_fields(kind)):
        flag, variable = flags.get(name), variable_of(name)
        if flag is not None:
            found[name] = flags_of(name, about)[1 if flag is False else 0]
        elif os.environ.get(variable):  # an empty variable counts as unset
            found[name] = variable
    return found


def read_settings(kind: type[SettingsT], flags: Flags) -> SettingsT:
    """Return settings from flags, environment variables and defaults, in this order of precedence.

    Raises WrongUsage, with the name of the flag or variable, for a value that is not allowed.
    """
    given = sources(flags)
    values: dict[str, Any] = {"given": given} if kind is DaemonSettings else {}
    try:
        for name, _, about in iter_fields(kind):
            if name in given:
                value = flags.get(name)
                text = os.environ[given[name]] if value is None else value
                values[name] = text if isinstance(text, bool) else about.parse(given[name], text)
        return kind(**values)
    except ValueError as error:
        raise WrongUsage(str(error)) from None


def refuse_unknown_variables() -> None:
    """Raise WrongUsage for an unknown ``ARC_RELAY_`` variable. Suggest the most similar name."""
    known = {variable_of(name) for kind in KINDS for name, _, _ in iter_fields(kind)}
    known |= SECRET_VARIABLES  # which other commands use
    for name in sorted(os.environ):
        if name.startswith(ENVIRONMENT) and name not in known and os.environ[name]:
            (nearest,) = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0)
            raise WrongUsage(f"unknown variable {name}; did you mean {nearest}?")


def variable_of(name: str) -> str:
    """Return the name of the environment variable of a setting."""
    return f"{ENVIRONMENT}{name.upper()}"


def flags_of(name: str, about: Field) -> list[str]:
    """Return a setting's flags: the long flag, its negation for a boolean, and any short flag."""
    words = name.replace("_", "-")
    flags = [f"--{words}", f"--no-{words}"] if about.kind is bool else [f"--{words}"]
    return [*flags, about.short] if about.short else flags


def help_text(about: Field) -> str:
    """Return the help of a setting. If necessary, add the meaning of 0 or the allowed values."""
    if about.zero:
        return f"{about.help} 0 means {about.zero}."
    if about.kind is bool or about.metavar in {"TIME", "PATH"}:
        return about.help
    return f"{about.help} {about.values[0].upper()}{about.values[1:]}."


def _parameter(definition: Definition) -> inspect.Parameter:
    name, default, about = definition
    flags = flags_of(name, about)
    is_flag = about.kind is bool
    annotation: Any = Annotated[
        bool | None if is_flag else str | None,
        typer.Option(
            *(["/".join(flags)] if is_flag else flags),
            # There is no envvar here, because `read_settings` reads the variables for every
            # command, even without these options.
            help=rf"{help_text(about)} \[default: {about.display(default)}]",
            metavar=None if is_flag else about.metavar,
            show_default=False,
            rich_help_panel=about.panel,
            autocompletion=(lambda: list(about.choices)) if about.choices else None,
        ),
    ]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )
