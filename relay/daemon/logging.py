"""Format log lines, and write them to standard error without holding up the relay.

Records of structlog and of the standard library's loggers take the same way: one line each, with
a timestamp (ISO 8601, UTC), a level, an event and fields. The format ``auto`` looks at where they
go:

- to a terminal: columns, in colours unless NO_COLOR is set;
- to systemd's journal: logfmt with the priority in front (``<4>``, which the journal takes off, so
  that ``journalctl -p warning`` works), and no timestamp, because the journal has its own;
- anywhere else, which is what a container or a file is: logfmt, that is ``key=value`` without
  colours. It is read by people, by grep and by log collectors alike.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Final, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from .errors import escaped
from .nonblocking_handler import NonBlockingHandler, descriptor_of

__all__ = ["FORMATS", "LEVELS", "configure_logging"]

FORMATS: Final = ("auto", "text", "json")
"""``text`` is logfmt wherever it goes, ``json`` one object a line."""

LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}  # syslog's
FIRST: Final = ("timestamp", "level", "event")
LOGFMT: Final = structlog.processors.LogfmtRenderer(
    key_order=FIRST, drop_missing=True, bool_as_flag=False
)


def configure_logging(
    format: str = "auto",
    level: str = "info",
    *,
    stream: TextIO | None = None,
    environment: Mapping[str, str] = os.environ,
) -> FilteringBoundLogger:
    """Send every log line of the process to standard error, and return the relay's own logger.

    The format is one of `FORMATS`, the level a key of `LEVELS`. The level is that of the relay.
    Other libraries show warnings and errors alone: below those they tell what clients sent. Of an
    exception only the kind is shown, never a traceback. A stream takes the place of standard
    error. To be called again, it replaces what it did before.
    """
    stream = stream or sys.stderr
    writer = NonBlockingHandler(stream)
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_failure,
        *renderers(format, stream, environment),
    ]
    writer.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=("lost",)), name_origin],
            processors=[ProcessorFormatter.remove_processors_meta, *processors],
        )
    )
    root, own = logging.getLogger(), logging.getLogger("relay")
    for earlier in [each for each in root.handlers if isinstance(each, NonBlockingHandler)]:
        root.removeHandler(earlier)
    root.addHandler(writer)
    root.setLevel(max(LEVELS[level], logging.WARNING))
    own.setLevel(LEVELS[level])
    # A pair that ends has a line: it does not take the way through the standard library's logger,
    # which takes longer than all the rest of it.
    logger: FilteringBoundLogger = structlog.wrap_logger(
        LineLogger(writer),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
    ).bind()
    return logger


class LineLogger:
    """Writer of the finished lines of structlog's own logger, at any level."""

    def __init__(self, writer: NonBlockingHandler) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = writer.write


def renderers(
    format: str, stream: TextIO | None, environment: Mapping[str, str]
) -> tuple[Processor, ...]:
    """Return what turns the fields of a line into its text, for a format and where it goes."""
    if format == "json":
        return put_in_order, structlog.processors.JSONRenderer(separators=(",", ":"))
    if format == "auto" and stream is not None:
        if stream.isatty():
            colors = not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
            console = structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False)
            return escape_values, console
        if is_journal(stream, environment):
            return (render_for_journal,)
    return (render_logfmt,)


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether a stream is the one that systemd said leads to its journal."""
    descriptor = descriptor_of(stream)
    if descriptor is None:
        return False
    about = os.fstat(descriptor)
    return environment.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


def render_logfmt(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """Return the line in logfmt, with an escape sequence for each control character."""
    return escaped(LOGFMT(logger, method, event))


def escape_values(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Escape control characters in all values, because a terminal acts on them.

    Line breaks in the event itself stay: the relay's own messages have several lines on a terminal.
    """
    shown = {
        key: escaped(value) if isinstance(value, str) else value for key, value in event.items()
    }
    shown["event"] = "\n".join(map(escaped, str(event["event"]).split("\n")))
    return shown


def render_for_journal(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """Return the line with its priority in front."""
    del event["timestamp"]
    return f"<{PRIORITIES[event['level']]}>{render_logfmt(logger, method, event)}"


def put_in_order(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Put what every line has in front."""
    return {key: event[key] for key in FIRST} | dict(event)


def name_origin(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Say which library a record comes from, if it is not the relay's."""
    name = event["_record"].name
    if name != "relay":
        event["logger"] = name
    return event


def name_failure(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Put the kind of an exception in the place of its traceback, which could quote a client."""
    event.pop("stack_info", None)
    failure = event.pop("exc_info", None)
    if failure:
        kind = failure[0] if isinstance(failure, tuple) else sys.exc_info()[0]
        event["error"] = getattr(kind, "__name__", "unknown")
    return event
