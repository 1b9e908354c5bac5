"""Log lines on a terminal are short."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from relay.daemon.log_terminal import COLUMNS, TerminalRenderer
from relay.daemon.logging import LOCAL_TIME

STYLE = re.compile("\x1b\\[[0-9]+m")


def rendered(*, colors: bool = False, level: str = "info", **fields: Any) -> list[str]:
    """Return the lines of a record."""
    record = {"timestamp": "12:34:56", "level": level, **fields}
    return TerminalRenderer(colors=colors)(None, level, record).split("\n")


def test_line() -> None:
    """The fields are those of logfmt."""
    assert rendered(level="warning", event="refused", reason="relay is full", answered=True) == [
        '12:34:56 warning refused reason="relay is full" answered=true'
    ]


def test_record_that_is_too_long() -> None:
    """A record is wrapped between two fields, and every line has at most 100 columns."""
    fields: dict[str, Any] = {"event": "pair ended"} | {f"field_{n}": n * 1000 for n in range(20)}
    lines = rendered(**fields)
    assert len(lines) > 1
    assert all(len(line) <= COLUMNS for line in lines)
    assert all(line.startswith(" " * 17 + "field_") for line in lines[1:])
    assert all(len(line) + len(" field_10=10000") > COLUMNS for line in lines[:-1])
    assert " ".join(" ".join(lines).split()) == " ".join(
        ["12:34:56 info pair ended", *(f"{name}={n}" for name, n in list(fields.items())[1:])]
    )


@pytest.mark.parametrize("size", [78, 79])
def test_width_of_a_line(size: int) -> None:
    """A line of exactly 100 columns is not wrapped."""
    lines = rendered(event="e", x="x" * size)
    assert [len(line) for line in lines] == ([100] if size == 79 else [99])
    assert len(rendered(event="e", x="x" * 80)) == 2


def test_field_that_is_too_long() -> None:
    """A field that is longer than a line stays whole."""
    assert rendered(event="e", path="x" * 200, port=1)[1:] == [
        " " * 17 + "path=" + "x" * 200,
        " " * 17 + "port=1",
    ]


def test_event_of_several_lines() -> None:
    """An event keeps its line breaks."""
    assert rendered(event="it failed at:\na\tb", why="x" * 90) == [
        "12:34:56 info    it failed at:",
        r"a\tb why=" + "x" * 90,
    ]


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_colors(level: str) -> None:
    """Colours do not count as columns."""
    fields: dict[str, Any] = {"event": "e"} | {f"field_{n}": n for n in range(20)}
    colored = rendered(colors=True, level=level, **fields)
    assert any(STYLE.search(line) for line in colored)
    assert [STYLE.sub("", line) for line in colored] == rendered(level=level, **fields)


def test_time_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is that of the machine."""
    monkeypatch.setenv("TZ", "Etc/GMT-5")
    time.tzset()
    try:
        before, shown, after = (
            time.strftime("%H:%M:%S"),
            LOCAL_TIME(None, "info", {})["timestamp"],
            time.strftime("%H:%M:%S"),
        )
        assert shown in {before, after}
        assert shown[:2] != time.strftime("%H", time.gmtime())
    finally:
        monkeypatch.undo()
        time.tzset()
