"""Parse and format numbers with units of time or size.

Pure. A time without a unit is in seconds, a size without a unit in bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

MAX_FLOAT: Final = math.nextafter(math.inf, 0)
"""Largest finite float."""

DIGITS: Final[Mapping[type[int | float], str]] = {
    int: r"[+-]?[0-9]+",
    float: r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?",
}
"""Syntax of each type of number; stricter than ``int()`` and ``float()``, which accept 1_000 and
non-ASCII digits."""

Units = tuple[tuple[str, int], ...]
"""Units with their factors, the smallest unit first."""

TIME: Final[Units] = (("s", 1), ("m", 60), ("h", 3600), ("d", 86400))
SIZE: Final[Units] = (
    ("kB", 10**3),
    ("KiB", 2**10),
    ("MB", 10**6),
    ("MiB", 2**20),
    ("GB", 10**9),
    ("GiB", 2**30),
)


def read_number(text: str, kind: type[int | float], units: Units = ()) -> int | float:
    """Parse a number in ASCII digits, optionally followed by a unit.

    White space around the number and the unit is ignored, and so is the case of the unit. Raises
    ValueError if the syntax is wrong or ``units`` does not contain the unit.
    """
    found = re.fullmatch(rf"({DIGITS[kind]})\s*([A-Za-z]*)", text.strip())
    factors = {"": 1} | {unit.lower(): factor for unit, factor in units}
    if found is None or (unit := found[2].lower()) not in factors:
        raise ValueError
    return kind(found[1]) * factors[unit]


def format_number(number: float, units: Units = ()) -> str:
    """Return a number as text for `read_number`, in the largest unit that needs no fraction.

    If every unit needs a fraction, or if the number is 0, the text has no unit.
    """
    for unit, factor in reversed(units):
        if number and number % factor == 0:
            return plain(number // factor) + unit
    return plain(number)


def plain(number: float) -> str:
    """Return a number as text, without a unit and without the fraction ``.0``."""
    return str(number).removesuffix(".0")


def in_range(value: float, minimum: float, maximum: float = MAX_FLOAT) -> float:
    """Return the number unchanged; raise ValueError if it is outside the range."""
    if not minimum <= value <= maximum:
        raise ValueError
    return value
