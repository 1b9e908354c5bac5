"""How a setting is defined: once, as a field of a frozen dataclass.

Pure. `seconds`, `integer`, `flag`, `choice`, `text`, `path` and `listing` define a field, which has
its `Setting` in its metadata. The dataclass calls `validate` when it is constructed. Who needs the
settings, for the options of a command or the table of a document, finds them by `iter_fields`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import field, fields
from typing import Any, NamedTuple

from .field_types import Choice, Flag, ListOf, Number, Setting, Text

__all__ = [
    "Definition",
    "choice",
    "define",
    "flag",
    "integer",
    "iter_fields",
    "listing",
    "non_defaults",
    "path",
    "seconds",
    "text",
    "validate",
]


class Definition(NamedTuple):
    """A setting where it is defined: the field's name, its default, and what it means."""

    name: str
    default: Any
    field: Setting


def iter_fields(settings: Any) -> Iterator[Definition]:
    """Find the settings of a dataclass, or of an instance of one, in order."""
    for item in fields(settings):
        if "setting" in item.metadata:
            yield Definition(item.name, item.default, item.metadata["setting"])


def validate(settings: Any) -> None:
    """Check every setting of a new instance and put it in its normal form.

    Raises TypeError or ValueError, with the name of the setting and the value.
    """
    for name, _, about in iter_fields(settings):
        # The instance is frozen, but for its own construction.
        object.__setattr__(settings, name, about.validate(name, getattr(settings, name)))


def non_defaults(*settings: Any) -> list[tuple[str, Any]]:
    """Return the name and the value of each setting that is not what it is by default."""
    return [
        (name, value)
        for instance in settings
        for name, default, _ in iter_fields(instance)
        if (value := getattr(instance, name)) != default
    ]


def define(default: Any, about: Setting) -> Any:
    """Define a field that is a setting."""
    return field(default=default, metadata={"setting": about})


def seconds(default: float, help: str, *, zero: str = "") -> Any:
    """Define a time, of which 0 is allowed if ``zero`` says what for."""
    values = "a number of seconds from 0.001" + (f", or 0 {zero}" if zero else "")
    about = Number(
        help=help,
        values=values,
        metavar="SECONDS",
        kind=float,
        minimum=0.001,
        zero=bool(zero),
    )
    return define(default, about)


def integer(
    default: int | None,
    help: str,
    *,
    of: str = "",
    metavar: str = "NUMBER",
    absent: str = "",
) -> Any:
    """Define a size or a count ``of`` something, of which 0 means no limit.

    It may be None if ``absent`` says what that means.
    """
    values = f"a whole number{of and ' of '}{of}, or 0 for no limit"
    about = Number(
        help=help,
        values=values,
        metavar=metavar,
        absent=absent,
        kind=int,
        minimum=0,
        optional=bool(absent),
    )
    return define(default, about)


def flag(default: bool, help: str) -> Any:
    """Define something that is so or not."""
    values = "true or false (or 1 or 0, yes or no, on or off)"
    return define(default, Flag(help=help, values=values))


def choice(default: str, choices: tuple[str, ...], help: str) -> Any:
    """Define a choice between a few words."""
    values = f"one of {', '.join(choices)}"
    return define(default, Choice(help=help, values=values, metavar="WORD", choices=choices))


def text(  # noqa: PLR0913 - what a line of help has, a text may have
    default: str,
    help: str,
    values: str,
    normal: Callable[[str], str],
    *,
    metavar: str,
    short: str = "",
) -> Any:
    """Define a text, of which ``normal`` returns the normal form or raises ValueError."""
    about = Text(help=help, values=values, metavar=metavar, short=short, normal=normal)
    return define(default, about)


def path(help: str) -> Any:
    """Define the path of a file, by default none."""
    return text("", help, "a path", _as_path, metavar="PATH")


def listing(
    help: str,
    values: str,
    normal: Callable[[str], str],
    *,
    absent: str,
) -> Any:
    """Define a list of texts, as in `text`, that is empty by default, which ``absent`` explains."""
    item = Text(help=help, values=values, normal=normal)
    about = ListOf(help=help, values=values, metavar="LIST", absent=absent, item=item)
    return define((), about)


def _as_path(text: str) -> str:
    if "\0" in text:
        raise ValueError
    return text
