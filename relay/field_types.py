"""The kinds of settings: which values are allowed, and how they are written as text.

Pure. `definitions` makes fields of dataclasses of them.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

__all__ = ["Choice", "Flag", "ListOf", "Number", "Setting", "Text", "read_number"]

MAX_FLOAT: Final = math.nextafter(math.inf, 0)
DIGITS: Final[Mapping[type[int | float], re.Pattern[str]]] = {
    int: re.compile(r"[+-]?[0-9]+"),
    float: re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"),
}
"""Text of a number. Python also takes underscores, and the digits of every script."""

TRUE: Final = frozenset({"true", "1", "yes", "on"})
FALSE: Final = frozenset({"false", "0", "no", "off"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting(ABC):
    """What a setting means, which values it may have, and how they are written as text."""

    help: str
    """What it is, in one sentence."""
    values: str
    """The allowed values in words, as in "must be ..."."""
    metavar: str = "TEXT"
    """What stands for a value in a line of help."""
    absent: str = "none"
    """What None, an empty text or an empty list means, in words."""
    short: str = ""
    """A second flag, such as -p."""

    def parse(self, name: str, text: str) -> Any:
        """Return the value that text stands for; raise ValueError, naming both, if it has none."""
        try:
            value = self.convert(text)
        except ValueError:
            raise ValueError(self.error_message(name, text)) from None
        return self.validate(name, value)

    @abstractmethod
    def convert(self, text: str) -> Any:
        """Return what text says, be it in range or not; raise ValueError if it says nothing."""

    @abstractmethod
    def validate(self, name: str, value: Any) -> Any:
        """Return the value in its normal form.

        Raises TypeError or ValueError, naming both, if it cannot have this value.
        """

    def format(self, value: Any) -> str:
        """Return the text that `parse` reads as this value."""
        return str(value)

    def display(self, value: Any) -> str:
        """Return a value as a person should read it."""
        return self.absent if value in (None, "", ()) else self.format(value)

    def error_message(self, name: str, value: object) -> str:
        """Return what to say of a value that is not allowed."""
        return f"{name} must be {self.values}, not {value!r}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Number(Setting):
    """A time, a size or a count."""

    kind: type[int | float]
    minimum: float
    maximum: float = MAX_FLOAT
    """By default, what a float can hold: infinity is no setting."""
    zero: bool = False
    """Whether 0 is good as well."""
    optional: bool = False
    """Whether None is good as well."""

    def convert(self, text: str) -> int | float:
        return read_number(text, self.kind)

    def validate(self, name: str, value: Any) -> int | float | None:
        if value is None and self.optional:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, self.kind)):
            raise TypeError(self.error_message(name, value))
        if not (self.minimum <= value <= self.maximum or (self.zero and value == 0)):
            raise ValueError(self.error_message(name, value))
        return value

    def format(self, value: float) -> str:
        return str(value).removesuffix(".0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Flag(Setting):
    """Something that is so or not."""

    def convert(self, text: str) -> bool:
        word = text.strip().lower()
        if word not in TRUE | FALSE:
            raise ValueError
        return word in TRUE

    def validate(self, name: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise TypeError(self.error_message(name, value))
        return value

    def format(self, value: bool) -> str:
        return str(value).lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice(Setting):
    """One of a few words."""

    choices: tuple[str, ...]

    def convert(self, text: str) -> str:
        return text.strip().lower()

    def validate(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(self.error_message(name, value))
        if value not in self.choices:
            raise ValueError(self.error_message(name, value))
        return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Text(Setting):
    """A text of which ``normal`` returns the normal form, or raises ValueError."""

    normal: Callable[[str], str]

    def convert(self, text: str) -> str:
        return text

    def validate(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(self.error_message(name, value))
        try:
            return self.normal(value)
        except ValueError:
            raise ValueError(self.error_message(name, value)) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class ListOf(Setting):
    """Any number of texts, written with commas between them."""

    item: Text
    """What each of them may be."""

    def convert(self, text: str) -> tuple[str, ...]:
        return tuple(part for part in map(str.strip, text.split(",")) if part)

    def validate(self, name: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, tuple | list):
            raise TypeError(self.error_message(name, value))
        return tuple(self.item.validate(name, part) for part in value)

    def format(self, value: tuple[str, ...]) -> str:
        return ",".join(value)


NumberT = TypeVar("NumberT", int, float)


def read_number(text: str, kind: type[NumberT]) -> NumberT:
    """Return the number that text has in ASCII digits, perhaps with white space around it.

    Raises ValueError if text is anything else.
    """
    text = text.strip()
    if not DIGITS[kind].fullmatch(text):
        raise ValueError
    return kind(text)
