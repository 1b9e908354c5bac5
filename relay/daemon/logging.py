"""Format log lines, and write them to standard error without blocking the relay.

Records of structlog and of the standard library's loggers have the same form: one line each, with
a timestamp (ISO 8601, UTC), a level, an event and fields. The format ``auto`` depends on the
destination:

- terminal: short lines with the local time, in colours unless NO_COLOR is set;
- journal of systemd: a syslog priority such as ``<4>``, then logfmt without a timestamp. The
  journal removes the priority from the line and adds a timestamp. ``journalctl -p warning`` filters
  lines by priority;
- container, file or pipe: logfmt, that is ``key=value`` without colours, which people, grep and
  log collectors can read.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from .errors import escaped
from .log_terminal import TerminalRenderer
from .nonblocking_handler import NonBlockingHandler, descriptor_of

LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}  # syslog's
TIMESTAMP: Final = structlog.processors.TimeStamper(fmt="iso", utc=True)
LOCAL_TIME: Final = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
FIRST: Final = ("timestamp", "level", "event")
LOGFMT: Final = structlog.processors.LogfmtRenderer(
    key_order=FIRST, drop_missing=True, bool_as_flag=False
)

NUMBERS: Final = frozenset((int, float))
WITHOUT_QUOTES: Final = re.compile(r"[!#-<>-~]+")
WITHOUT_ESCAPES: Final = re.compile(r"[ !#-\[\]-~]+")


def configure_logging(
    format: str = "auto",
    level: str = "info",
    *,
    stream: TextIO | None = None,
    environment: Mapping[str, str] = os.environ,
) -> FilteringBoundLogger:
    """Write every log line of the process to standard error; return the logger of the relay.

    ``format`` is ``auto``, ``text`` (logfmt) or ``json`` (one object per line). ``level`` is a key
    of `LEVELS` and applies to the relay. Other libraries log only warnings and errors, because
    their records of lower levels quote client data. Log lines show only the type of an exception.
    ``stream`` replaces standard error. Each call replaces the configuration of the previous call.
    """
    stream = stream or sys.stderr
    writer = NonBlockingHandler(stream)
    rendering = renderers(format, stream, environment)
    processors: list[Processor] = [structlog.processors.add_log_level, name_failure, *rendering]
    writer.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=("lost",)), name_origin],
            processors=[ProcessorFormatter.remove_processors_meta, *processors],
        )
    )
    root, own = logging.getLogger(), logging.getLogger("relay")
    for earlier in handlers():
        root.removeHandler(earlier)
    root.addHandler(writer)
    root.setLevel(max(LEVELS[level], logging.WARNING))
    own.setLevel(LEVELS[level])
    # The relay logs each pair that ends, so lines must be cheap. This logger bypasses the logger of
    # the standard library, which takes longer than all other steps of writing a line together.
    logger: FilteringBoundLogger = structlog.wrap_logger(
        LineLogger(writer),
        processors=common_first(processors, rendering[-1]),
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
    ).bind()
    return logger


def handlers() -> list[NonBlockingHandler]:
    """Return the handlers that `configure_logging` installed: one or none."""
    installed = logging.getLogger().handlers
    return [each for each in installed if isinstance(each, NonBlockingHandler)]


def lost_lines() -> int:
    """Return the number of log lines lost since the start."""
    return sum(each.lost for each in handlers())


class LineLogger:
    """Logger that structlog wraps. Each level has a method, which writes a rendered line."""

    def __init__(self, writer: NonBlockingHandler) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = writer.write


def renderers(
    format: str, stream: TextIO | None, environment: Mapping[str, str]
) -> tuple[Processor, ...]:
    """Return the processors that render a line for a format and a destination."""
    if format == "json":
        return TIMESTAMP, put_in_order, structlog.processors.JSONRenderer(separators=(",", ":"))
    if format == "auto" and stream is not None:
        if stream.isatty():
            colors = not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
            return LOCAL_TIME, TerminalRenderer(colors=colors)
        if is_journal(stream, environment):
            return (render_for_journal,)
    return TIMESTAMP, render_logfmt


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return True if systemd connected the stream to its journal."""
    descriptor = descriptor_of(stream)
    if descriptor is None:
        return False
    about = os.fstat(descriptor)
    return environment.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


def render_logfmt(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """Render a line in logfmt, with control characters escaped."""
    return escaped(LOGFMT(logger, method, event))


def render_for_journal(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """Render a line as its syslog priority followed by logfmt without a timestamp."""
    return f"<{PRIORITIES[event['level']]}>{render_logfmt(logger, method, event)}"


def common_first(processors: Sequence[Processor], renderer: Processor) -> Sequence[Processor]:
    """Return processors that give the same lines as ``processors``, but common lines faster.

    ``renderer`` is the last of the processors. Each pair has three common lines.
    """
    if renderer is render_logfmt:
        start = start_logfmt
    elif renderer is render_for_journal:
        start = start_for_journal
    else:
        return processors

    def render(logger: WrappedLogger, method: str, event: EventDict) -> Any:
        if fields := render_common(event):
            return f"{start(method)}level={method} {fields}"
        result: Any = event
        for processor in processors:
            result = processor(logger, method, result)
        return result

    return (render,)


def start_logfmt(method: str) -> str:
    """Return the timestamp of a line."""
    return f"timestamp={datetime.now(UTC).isoformat().removesuffix('+00:00')}Z "


def start_for_journal(method: str) -> str:
    """Return the syslog priority of a line."""
    return f"<{PRIORITIES[method]}>"


def render_common(event: EventDict) -> str:
    """Render the event and its fields in logfmt if no value needs an escape sequence, otherwise "".

    Keys are not checked, because they are fixed names in the code.
    """
    pieces = [""]
    for key, value in event.items():
        if type(value) is not str:
            if type(value) not in NUMBERS:
                return ""
            piece = f"{key}={value}"
        elif WITHOUT_QUOTES.fullmatch(value):
            piece = f"{key}={value}"
        elif WITHOUT_ESCAPES.fullmatch(value):
            piece = f'{key}="{value}"'
        else:
            return ""
        if key == "event":
            pieces[0] = piece
        else:
            pieces.append(piece)
    return " ".join(pieces)


def put_in_order(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Move the timestamp, the level and the event to the front."""
    return {key: event[key] for key in FIRST} | dict(event)


def name_origin(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Add the name of the logger to records of other libraries."""
    name = event["_record"].name
    if name != "relay":
        event["logger"] = name
    return event


def name_failure(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Replace a traceback, which could quote client data, with the type of the exception."""
    event.pop("stack_info", None)
    failure = event.pop("exc_info", None)
    if failure:
        kind = failure[0] if isinstance(failure, tuple) else sys.exc_info()[0]
        event["error"] = getattr(kind, "__name__", "unknown")
    return event
