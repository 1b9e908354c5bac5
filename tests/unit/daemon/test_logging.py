"""The form of log lines for people, collectors and the journal."""

from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import TextIO

import pytest

from relay import RequestRefused
from relay.daemon.log_observer import LogObserver
from relay.daemon.logging import LOGFMT, configure_logging, render_common
from tests.support.recorded_events import bare_logging
from tests.support.stderr_pipe import PAGE, Pipe

TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


@pytest.fixture(autouse=True)
def _bare_logging() -> Iterator[None]:
    with bare_logging():
        yield


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Return a pipe, and close it at the end."""
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    """Return both ends of a pseudo-terminal."""
    screen, program = os.openpty()
    with open(program, "w") as stream:  # noqa: PTH123
        yield screen, stream
    os.close(screen)


def test_json() -> None:
    """A line is one object that starts with the timestamp in UTC, the level and the event."""
    stream = io.StringIO()
    configure_logging("json", stream=stream).info("pair ended", outcome="closed", bytes_a=7)
    expected = (
        rf'\{{"timestamp":"{TIMESTAMP}","level":"info","event":"pair ended",'
        r'"outcome":"closed","bytes_a":7\}\n'
    )
    assert re.fullmatch(expected, stream.getvalue())


@pytest.mark.parametrize("format", ["auto", "text"])
def test_text_off_a_terminal(format: str, pipe: Pipe) -> None:
    """Lines for a file, a pipe or a container are logfmt without colours."""
    configure_logging(format, stream=pipe.stream).info(
        "pair ended", outcome="closed", answered=True
    )
    expected = rf'timestamp={TIMESTAMP} level=info event="pair ended" outcome=closed answered=true'
    assert re.fullmatch(expected + "\n", pipe.read())


def test_auto_on_a_terminal(terminal: tuple[int, TextIO]) -> None:
    """A line on a terminal has a short local time, and colours unless the user disables them."""
    screen, stream = terminal
    configure_logging(stream=stream, environment={}).info("started")
    assert b"\x1b[" in os.read(screen, PAGE)
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        configure_logging(stream=stream, environment=environment).info("started", pid=1)
        line = os.read(screen, PAGE).decode()
        assert "\x1b" not in line
        assert re.fullmatch(r"\d\d:\d\d:\d\d info    started pid=1\r\n", line)


def test_auto_to_the_journal(pipe: Pipe) -> None:
    """Lines for the journal have a priority, and no second timestamp."""
    about = os.fstat(pipe.stream.fileno())
    environment = {"JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}"}
    log = configure_logging(stream=pipe.stream, environment=environment)
    log.info("started", pid=1)
    log.warning("refused")
    log.error("not reloaded")
    assert pipe.read().splitlines() == [
        "<6>level=info event=started pid=1",
        "<4>level=warning event=refused",
        '<3>level=error event="not reloaded"',
    ]
    configure_logging("text", stream=pipe.stream, environment=environment).info("started")
    assert pipe.read().startswith("timestamp=")


@pytest.mark.parametrize(
    ("format", "terminal_", "expected"),
    [
        ("auto", True, " status=409 "),
        ("auto", False, " status=409 "),
        ("text", False, " status=409 "),
        ("json", False, ',"status":409,'),
    ],
)
def test_status(
    format: str, terminal_: bool, expected: str, terminal: tuple[int, TextIO], pipe: Pipe
) -> None:
    """A status is a plain number in every format, also if the event has an enumeration."""
    screen, stream = terminal
    log = configure_logging(
        format, stream=stream if terminal_ else pipe.stream, environment={"NO_COLOR": "1"}
    )
    observer = LogObserver(log, clock=lambda: 0.0)
    observer.on_event(RequestRefused(HTTPStatus.CONFLICT, "pair is full"))
    assert expected in (os.read(screen, PAGE).decode() if terminal_ else pipe.read())


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_level(level: str) -> None:
    """Lines below the level are dropped, also those of the core."""
    stream = io.StringIO()
    log = configure_logging("text", level, stream=stream)
    levels = ["debug", "info", "warning", "error"]
    for each in levels:
        getattr(log, each)("own")
        getattr(logging.getLogger("relay"), each)("core")
    found = re.findall(r"level=(\w+) event=(\w+)", stream.getvalue())
    wanted = levels[levels.index(level) :]
    assert found == [(each, who) for each in wanted for who in ("own", "core")]


HOSTILE = "a\x1b[31mX\nb\x85\x7f"
ESCAPED = r"a\x1b[31mX\nb\x85\x7f"


@pytest.mark.parametrize("where", ["file", "journal", "terminal"])
def test_control_characters(where: str, terminal: tuple[int, TextIO], pipe: Pipe) -> None:
    """Control characters in a field, such as those of a path, are escaped."""
    screen, stream = terminal
    about = os.fstat(pipe.stream.fileno())
    journal = {"JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}"}
    log = configure_logging(
        stream=stream if where == "terminal" else pipe.stream,
        environment={"NO_COLOR": "1"} | (journal if where == "journal" else {}),
    )
    log.info("settings\x1b", unix=HOSTILE, port=1)
    line = os.read(screen, PAGE).decode() if where == "terminal" else pipe.read()
    assert r"settings\x1b" in line
    assert f"unix={ESCAPED} " in line
    assert line.rstrip("\r\n").isprintable()


def test_lines_of_an_event_on_a_terminal(terminal: tuple[int, TextIO]) -> None:
    """An event of the core may have several lines on a terminal."""
    screen, stream = terminal
    configure_logging(stream=stream, environment={"NO_COLOR": "1"}).info("failed at:\na\tb")
    assert "failed at:\r\na\\tb" in os.read(screen, PAGE).decode()


@pytest.mark.parametrize(
    "value",
    [
        "a",
        "",
        " ",
        "a b",
        "a=b",
        'a"b',
        "a\\b",
        "a\\ b",
        "a\nb",
        "\x7f",
        "\u00e9",
        True,
        None,
        1,
        0.5,
    ],
)
@pytest.mark.parametrize("key", ["event", "pair"])
def test_common_lines_are_rendered_like_all_others(key: str, value: object) -> None:
    """The renderer for common lines returns the line of structlog, or none."""
    fields = {"bytes_a": 7, "event": "pair ended", key: value}
    if line := render_common(fields):
        assert f"level=info {line}" == LOGFMT(None, "info", {"level": "info", **fields})


def test_common_line() -> None:
    """Text without quotes and backslashes, and numbers, are common."""
    fields = {"pair": "0123", "bytes_a": 7, "event": "pair ended"}
    assert render_common(fields) == 'event="pair ended" pair=0123 bytes_a=7'


def test_records_of_the_core() -> None:
    """Records of the core have the same format, multiple lines in one."""
    stream = io.StringIO()
    configure_logging("text", "debug", stream=stream)
    core = logging.getLogger("relay")
    core.warning("accept failed: %s", "EMFILE")
    core.debug("it failed at:\n%s", "a\nb")
    first, second = stream.getvalue().splitlines()
    assert first.endswith('level=warning event="accept failed: EMFILE"')
    assert second.endswith(r'level=debug event="it failed at:\na\nb"')


def test_other_libraries() -> None:
    """Other libraries log warnings and errors only, with the name of their logger."""
    stream = io.StringIO()
    configure_logging("json", "debug", stream=stream)
    other = logging.getLogger("trio-websocket")
    other.debug("secret")
    other.info("secret")
    other.warning("odd event")
    line = json.loads(stream.getvalue())
    assert (line["level"], line["event"], line["logger"]) == (
        "warning",
        "odd event",
        "trio-websocket",
    )
    configure_logging("json", "error", stream=stream)
    other.warning("odd event")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("format", ["auto", "text", "json"])
def test_exceptions(format: str) -> None:
    """The kind of an exception is logged, without its message and its traceback."""
    stream = io.StringIO()
    log = configure_logging(format, stream=stream)
    try:
        int("canary")
    except ValueError:
        logging.getLogger("other").exception("it failed", stack_info=True)
        log.exception("it failed")
    log.error("it failed", exc_info=True)  # noqa: LOG014 - there is none
    lines = stream.getvalue().splitlines()
    assert ["ValueError" in line for line in lines] == [True, True, False]
    assert not any(word in line for line in lines for word in ("canary", "Traceback", "File"))


def test_configured_again() -> None:
    """A second configuration replaces the first."""
    first, second = io.StringIO(), io.StringIO()
    configure_logging(stream=first)
    configure_logging(stream=second).info("started")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1


def test_standard_error_by_default(capfd: pytest.CaptureFixture[str]) -> None:
    """Lines go to standard error of the process, and nothing to standard output."""
    configure_logging("text").info("started")
    out, err = capfd.readouterr()
    assert out == ""
    assert err.endswith("event=started\n")
