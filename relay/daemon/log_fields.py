"""Format the values of fields in log lines."""

from __future__ import annotations

from typing import Any, Final

DIGITS: Final = 3
"""Number of decimal places for seconds in log lines."""


def rounded(seconds: float) -> float:
    """Round a number of seconds for a log line."""
    return round(seconds, DIGITS)


def drop_empty(**values: Any) -> dict[str, Any]:
    """Return the fields whose values are neither empty nor 0."""
    return {name: value for name, value in values.items() if value}


def as_text(value: object) -> object:
    """Return the value of a setting in the form that the setting's flag accepts."""
    return ",".join(value) if isinstance(value, tuple) else value
