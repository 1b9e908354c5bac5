"""Types of settings: their allowed values and the text form of a value.

Pure. `relay.fields` declares dataclass fields with them.
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
"""Syntax of a number. Python's own parsers also accept underscores and non-ASCII digits."""

TRUE: Final = frozenset({"true", "1", "yes", "on"})
FALSE: Final = frozenset({"false", "0", "no", "off"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting(ABC):
    """Meaning of a setting, its allowed values and their text form."""

    help: str
    """Meaning of the setting, in one sentence."""
    values: str
    """Allowed values in words, to follow "must be" in an error message."""
    metavar: str = "TEXT"
    """Placeholder for a value in a line of ``--help``."""
    absent: str = "none"
    """Meaning of None, an empty text or an empty list, in words."""
    short: str = ""
    """Short flag, such as -p."""

    def parse(self, name: str, text: str) -> Any:
        """Parse and validate the text of a value.

        Raises ValueError, with the name and the text, if the text is not an allowed value.
        """
        try:
            value = self.convert(text)
        except ValueError:
            raise ValueError(self.error_message(name, text)) from None
        return self.validate(name, value)

    @abstractmethod
    def convert(self, text: str) -> Any:
        """Parse text without checking the range; raise ValueError if the syntax is wrong."""

    @abstractmethod
    def validate(self, name: str, value: Any) -> Any:
        """Return the value in its normal form.

        Raises TypeError or ValueError, with the name and the value, if it is not allowed.
        """

    def format(self, value: Any) -> str:
        """Return the text that `parse` turns into this value."""
        return str(value)

    def display(self, value: Any) -> str:
        """Return the text of a value for documents and ``--help``."""
        return self.absent if value in (None, "", ()) else self.format(value)

    def error_message(self, name: str, value: object) -> str:
        """Return the error message for a value that is not allowed."""
        return f"{name} must be {self.values}, not {value!r}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Number(Setting):
    """A time, a size or a count."""

    kind: type[int | float]
    minimum: float
    maximum: float = MAX_FLOAT
    """Largest allowed value. The default, the largest finite float, excludes infinity."""
    zero: bool = False
    """True if 0 is allowed although it is below the minimum."""
    optional: bool = False
    """True if None is allowed."""

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
    """A boolean setting."""

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
    """One of several fixed words."""

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
    """A text; ``normal`` returns its normal form, or raises ValueError."""

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
    """A list of texts, separated by commas."""

    item: Text
    """Setting that validates each item."""

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
    """Parse a number in ASCII digits; surrounding white space is ignored.

    Raises ValueError if the text is not a number.
    """
    text = text.strip()
    if not DIGITS[kind].fullmatch(text):
        raise ValueError
    return kind(text)
