"""Declaration of settings as fields of a frozen dataclass, once for each setting.

Pure. `seconds`, `integer`, `flag`, `choice`, `text`, `path` and `listing` declare a field and store
its `Setting` in the metadata of the field. The dataclass calls `validate` from ``__post_init__``.
The command line options and the settings table of the documents are generated with `iter_fields`.
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
    """A declared setting: name of the field, default value and `Setting`."""

    name: str
    default: Any
    field: Setting


def iter_fields(settings: Any) -> Iterator[Definition]:
    """Yield the settings of a dataclass or of its instance, in the order of declaration."""
    for item in fields(settings):
        if "setting" in item.metadata:
            yield Definition(item.name, item.default, item.metadata["setting"])


def validate(settings: Any) -> None:
    """Validate every setting of a new instance and replace it by its normal form.

    Raises TypeError or ValueError, with the name of the setting and the value.
    """
    for name, _, about in iter_fields(settings):
        # A frozen dataclass refuses setattr, also from its own __post_init__.
        object.__setattr__(settings, name, about.validate(name, getattr(settings, name)))


def non_defaults(*settings: Any) -> list[tuple[str, Any]]:
    """Return the name and the value of each setting that differs from its default."""
    return [
        (name, value)
        for instance in settings
        for name, default, _ in iter_fields(instance)
        if (value := getattr(instance, name)) != default
    ]


def define(default: Any, about: Setting) -> Any:
    """Declare a field that is a setting."""
    return field(default=default, metadata={"setting": about})


def seconds(default: float, help: str, *, zero: str = "") -> Any:
    """Declare a time in seconds; 0 is allowed if ``zero`` gives its meaning."""
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
    """Declare a size or a count, in the unit ``of``; 0 means no limit.

    None is allowed if ``absent`` gives its meaning.
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
    """Declare a boolean setting."""
    values = "true or false (or 1 or 0, yes or no, on or off)"
    return define(default, Flag(help=help, values=values))


def choice(default: str, choices: tuple[str, ...], help: str) -> Any:
    """Declare a choice between several words."""
    values = f"one of {', '.join(choices)}"
    return define(default, Choice(help=help, values=values, metavar="WORD", choices=choices))


def text(  # noqa: PLR0913 - a text has each part of a line of help
    default: str,
    help: str,
    values: str,
    normal: Callable[[str], str],
    *,
    metavar: str,
    short: str = "",
) -> Any:
    """Declare a text; ``normal`` returns its normal form or raises ValueError."""
    about = Text(help=help, values=values, metavar=metavar, short=short, normal=normal)
    return define(default, about)


def path(help: str) -> Any:
    """Declare the path of a file; the default is no file."""
    return text("", help, "a path", _as_path, metavar="PATH")


def listing(
    help: str,
    values: str,
    normal: Callable[[str], str],
    *,
    absent: str,
) -> Any:
    """Declare a list of texts, each as in `text`; ``absent`` explains the empty default."""
    item = Text(help=help, values=values, normal=normal)
    about = ListOf(help=help, values=values, metavar="LIST", absent=absent, item=item)
    return define((), about)


def _as_path(text: str) -> str:
    if "\0" in text:
        raise ValueError
    return text
