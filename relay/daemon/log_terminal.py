"""Render log lines for a terminal: a short local time, and lines of at most 100 columns."""

from __future__ import annotations

from typing import Final

import structlog
from structlog.typing import EventDict, WrappedLogger

from .errors import escaped

COLUMNS: Final = 100
"""Maximum width of a line. A field wider than this is not split, so that users can copy it."""

LEVEL_WIDTH: Final = len("warning")
INDENT: Final = len("23:59:59 ") + LEVEL_WIDTH
"""Width of the time and level columns, which is also the indentation of continuation lines."""

LEVEL_COLORS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31"}
"""ANSI colours of the levels: dim, green, yellow and red."""

DIM, BOLD, CYAN = "2", "1", "36"

FIELD: Final = structlog.processors.LogfmtRenderer(bool_as_flag=False)


class TerminalRenderer:
    """Renderer that turns a record into one or more lines: time, level, event and fields.

    Control characters are escaped, because a terminal would act on them. Line breaks in the event
    are kept, because messages of the relay may have several lines.
    """

    def __init__(self, *, colors: bool) -> None:
        self._colors = colors

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        time, level = event.pop("timestamp"), event.pop("level")
        *text, last = map(escaped, str(event.pop("event")).split("\n"))
        parts = [
            self._paint(time, DIM),
            " ",
            self._paint(f"{level:<{LEVEL_WIDTH}}", LEVEL_COLORS[level]),
            " ",
            *(f"{line}\n" for line in text),
            self._paint(last, BOLD),
        ]
        width = len(last) + (0 if text else INDENT + 1)
        for name, value in event.items():
            field = escaped(str(FIELD(logger, method, {name: value})))
            if width + 1 + len(field) > COLUMNS:
                parts.append("\n" + " " * INDENT)
                width = INDENT
            parts += " ", self._paint(name, CYAN), field.removeprefix(name)
            width += 1 + len(field)
        return "".join(parts)

    def _paint(self, text: str, color: str) -> str:
        return f"\x1b[{color}m{text}\x1b[0m" if self._colors else text
