"""What can be set, each thing in one place.

Pure. A field of `RelaySettings` is the single definition of a setting: its default, its unit, its
range and its description. The command line makes its options from these fields.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Final

__all__ = ["RelaySettings", "Setting"]

MAX_FLOAT: Final = math.nextafter(math.inf, 0)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a number that can be set means, and which values it may have."""

    help: str
    values: str
    """The allowed values in words, as in "must be ..."."""
    kind: type[int | float]
    minimum: float
    maximum: float = MAX_FLOAT
    """By default, what a float can hold: infinity is no setting."""

    def parse(self, name: str, text: str) -> int | float:
        """Return the value that text stands for; raise ValueError, naming both, if it has none."""
        try:
            value = self.kind(text)
        except ValueError:
            raise ValueError(self._complaint(name, text)) from None
        self.check(name, value)
        return value

    def check(self, name: str, value: object) -> None:
        """Raise TypeError or ValueError, naming both, if it cannot have this value."""
        if isinstance(value, bool) or not isinstance(value, (int, self.kind)):
            raise TypeError(self._complaint(name, value))
        if not self.minimum <= value <= self.maximum:
            raise ValueError(self._complaint(name, value))

    def _complaint(self, name: str, value: object) -> str:
        return f"{name} must be {self.values}, not {value!r}"


def seconds(default: float, help: str) -> Any:
    """Define a field of `RelaySettings` that is a time."""
    about = Setting(help, "a number of seconds from 0.001", float, minimum=0.001)
    return field(default=default, metadata={"setting": about})


def size(default: int, help: str) -> Any:
    """Define a field of `RelaySettings` that is a size, of which 0 means no limit."""
    about = Setting(help, "a whole number of bytes, or 0 for no limit", int, minimum=0)
    return field(default=default, metadata={"setting": about})


@dataclass(frozen=True, kw_only=True, slots=True)
class RelaySettings:
    """How a relay behaves; times are in seconds, sizes in bytes.

    Raises TypeError or ValueError on construction, with the name of the setting and the value, if
    a value is of the wrong type or out of its range.
    """

    pair_ttl: float = seconds(300.0, "How long one side may wait for the other.")
    sweep_interval: float = seconds(30.0, "How often sides that waited too long are looked for.")
    head_timeout: float = seconds(10.0, "How long a client may take to send its HTTP head.")
    close_timeout: float = seconds(5.0, "How long a client may take over a WebSocket handshake.")
    max_message_size: int = size(100 * 2**20, "The largest binary message, in bytes.")

    def __post_init__(self) -> None:
        for item in fields(self):
            about: Setting = item.metadata["setting"]
            about.check(item.name, getattr(self, item.name))
