"""Declare each setting once, as a field of a frozen dataclass.

Pure. `seconds`, `integer`, `flag`, `choice`, `text`, `path` and `listing` declare a dataclass field
with a `Field` in its metadata. The dataclass calls `validate` from ``__post_init__``. The command
line options and the table in docs/settings.md are generated from the result of `iter_fields`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Final, NamedTuple

from .quantities import MAX_FLOAT, SIZE, TIME, Units, format_number, in_range, read_number

TRUE: Final = frozenset({"true", "1", "yes", "on"})
FALSE: Final = frozenset({"false", "0", "no", "off"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """Type, help text, allowed values and text form of a setting."""

    kind: type
    """Type of the value, or of each item if the value is a list. ``float`` also allows an int."""
    help: str
    """Meaning of the setting, in one sentence."""
    values: str
    """Allowed values in words, as they follow "must be" in an error message."""
    convert: Callable[[str], Any] = str
    """Function that converts text to `kind`, and raises ValueError if the syntax is wrong."""
    check: Callable[[Any], Any]
    """Function that returns the normal form of a value, or raises ValueError if the value is not
    allowed. If the value is a list, the function gets one item at a time."""
    metavar: str = "TEXT"
    """Placeholder for the value in the output of ``--help``."""
    units: Units = ()
    """Units that may follow a number in text form."""
    zero: str = ""
    """Meaning of the value 0 in words; "" if 0 has no special meaning."""
    choices: tuple[str, ...] = ()
    """Allowed words, if the setting takes one of a few fixed words; otherwise empty."""
    absent: str = "none"
    """Words to display for None, an empty text or an empty list."""
    short: str = ""
    """Short flag, such as -p; "" if there is none."""
    panel: str = "Options"
    """Panel of ``start --help`` that contains the setting."""
    optional: bool = False
    """True if None is allowed."""
    many: bool = False
    """True if the value is a list. In text form, commas separate the items."""

    @property
    def texts(self) -> str:
        """Allowed values in words, with the units that the text form permits."""
        units = ", ".join(unit for unit, _ in self.units)
        return f"{self.values} (units: {units})" if units else self.values

    def parse(self, name: str, text: str) -> Any:
        """Parse and validate a value in text form.

        Raises ValueError if the value is not allowed. The message contains ``name`` and the value.
        """
        if self.many:
            return self.validate(name, [part for part in map(str.strip, text.split(",")) if part])
        try:
            return self.check(self.convert(text))
        except ValueError:
            raise ValueError(f"{name} must be {self.texts}, not {text!r}") from None

    def validate(self, name: str, value: Any) -> Any:
        """Return a value in its normal form.

        Raises TypeError or ValueError if the value is not allowed. The message contains ``name``
        and the value.
        """
        if value is None and self.optional:
            return None
        if not self.many:
            return self._validate_one(name, value)
        if not isinstance(value, tuple | list):
            raise TypeError(self._error(name, value))
        return tuple(self._validate_one(name, item) for item in value)

    def format(self, value: Any) -> str:
        """Return a value in text form, which `parse` accepts."""
        if self.many:
            return ",".join(value)
        if self.kind in {int, float}:
            return format_number(value, self.units)
        return str(value).lower() if self.kind is bool else str(value)

    def display(self, value: Any) -> str:
        """Return a value as the documents and ``--help`` show it."""
        return self.absent if value in (None, "", ()) else self.format(value)

    def _validate_one(self, name: str, value: Any) -> Any:
        types = (int, float) if self.kind is float else self.kind
        # bool is a subclass of int, but True is not a number of seconds.
        if not isinstance(value, types) or isinstance(value, bool) is not (self.kind is bool):
            raise TypeError(self._error(name, value))
        try:
            return self.check(value)
        except ValueError:
            raise ValueError(self._error(name, value)) from None

    def _error(self, name: str, value: object) -> str:
        return f"{name} must be {self.values}, not {value!r}"


class Definition(NamedTuple):
    """A declared setting: name of the dataclass field, default value and `Field`."""

    name: str
    default: Any
    field: Field


def iter_fields(settings: Any) -> Iterator[Definition]:
    """Yield the settings of a dataclass or of an instance of one, in the order of declaration."""
    for item in fields(settings):
        if "field" in item.metadata:
            yield Definition(item.name, item.default, item.metadata["field"])


def validate(settings: Any) -> None:
    """Validate each setting of a new instance, and replace its value with the normal form.

    Raises TypeError or ValueError if a value is not allowed. The message contains the name of the
    setting and the value.
    """
    for name, _, about in iter_fields(settings):
        # A frozen dataclass refuses setattr, even from its own __post_init__.
        object.__setattr__(settings, name, about.validate(name, getattr(settings, name)))


def non_defaults(*settings: Any) -> list[tuple[str, Any]]:
    """Return the name and the value of each setting that differs from its default."""
    return [
        (name, value)
        for instance in settings
        for name, default, _ in iter_fields(instance)
        if (value := getattr(instance, name)) != default
    ]


def define(default: Any, **about: Any) -> Any:
    """Declare a setting; ``about`` has the keyword arguments of `Field`."""
    return field(default=default, metadata={"field": Field(**about)})


def seconds(default: float, help: str, *, zero: str = "", **about: Any) -> Any:
    """Declare a setting in seconds; 0 is allowed only if ``zero`` describes the meaning of 0."""
    return define(
        default,
        kind=float,
        help=help,
        values="a number of seconds from 0.001" + (f", or 0 for {zero}" if zero else ""),
        convert=partial(read_number, kind=float, units=TIME),
        check=lambda value: value if zero and value == 0 else in_range(value, 0.001),
        metavar="TIME",
        units=TIME,
        zero=zero,
        **about,
    )


def integer(
    default: int | None,
    help: str,
    *,
    of: str = "",
    maximum: float = MAX_FLOAT,
    metavar: str = "NUMBER",
    **about: Any,
) -> Any:
    """Declare an integer setting. ``of`` is its unit. Without a ``maximum``, 0 means no limit."""
    zero = "no limit" if maximum == MAX_FLOAT else ""
    units = SIZE if of else ()
    return define(
        default,
        kind=int,
        help=help,
        values=f"a whole number{of and ' of '}{of}"
        + (f", or 0 for {zero}" if zero else f" from 0 to {maximum}"),
        convert=partial(read_number, kind=int, units=units),
        check=lambda value: in_range(value, 0, maximum),
        optional=default is None,
        metavar="SIZE" if of else metavar,
        units=units,
        zero=zero,
        **about,
    )


def flag(default: bool, help: str, **about: Any) -> Any:
    """Declare a boolean setting."""
    values = "true or false (or 1 or 0, yes or no, on or off)"
    about |= {"values": values, "convert": read_bool, "check": bool}
    return define(default, kind=bool, help=help, **about)


def choice(default: str, choices: tuple[str, ...], help: str, **about: Any) -> Any:
    """Declare a setting that takes one of a few fixed words."""
    values, check = f"one of {', '.join(choices)}", partial(member, choices)
    about |= {"choices": choices, "convert": read_word, "metavar": "WORD"}
    return text(default, help, values, check, **about)


def text(default: Any, help: str, values: str, normal: Callable[[str], str], **about: Any) -> Any:
    """Declare a text setting with ``normal`` as its `Field.check`."""
    return define(default, kind=str, help=help, values=values, check=normal, **about)


def path(help: str, **about: Any) -> Any:
    """Declare a setting that is a file path; the default is no file."""
    return text("", help, "a path", without_nul, metavar="PATH", **about)


def listing(help: str, values: str, normal: Callable[[str], str], **about: Any) -> Any:
    """Declare a setting that is a list of texts, with ``normal`` as its `Field.check`."""
    return text((), help, values, normal, metavar="LIST", many=True, **about)


def read_word(text: str) -> str:
    """Return a word in lower case, without surrounding white space."""
    return text.strip().lower()


def read_bool(text: str) -> bool:
    """Parse a boolean; raise ValueError if the text is neither in `TRUE` nor in `FALSE`."""
    return member(TRUE | FALSE, read_word(text)) in TRUE


def member(allowed: Collection[str], word: str) -> str:
    """Return the word unchanged; raise ValueError if ``allowed`` does not contain it."""
    if word not in allowed:
        raise ValueError
    return word


def without_nul(path: str) -> str:
    """Return the path unchanged; raise ValueError if it contains NUL, which no path may contain."""
    if "\0" in path:
        raise ValueError
    return path
