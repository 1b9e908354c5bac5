"""A standard error that is closed, full or slow neither stops nor delays the relay."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from unittest.mock import Mock

import pytest

from relay.daemon.logging import configure_logging, lost_lines
from relay.daemon.nonblocking_handler import NonBlockingHandler
from tests.support.recorded_events import bare_logging
from tests.support.stderr_pipe import Pipe


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


def test_started_without_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without standard error discards its lines."""
    monkeypatch.setattr(sys, "stderr", None)
    configure_logging().info("started")


def test_a_full_pipe(pipe: Pipe) -> None:
    """Lines without space are lost at once; the next line has their number."""
    log = configure_logging("text", stream=pipe.stream)
    pipe.fill()
    for count in range(3):
        assert lost_lines() == count
        log.info("pair ended")
    assert set(pipe.read()) == {"x"}
    log.info("stopping")
    log.info("stopped")
    lost, *others = pipe.read().splitlines()
    assert lost.endswith('level=warning event="log lines lost" lost=3')
    assert [line.rpartition("=")[2] for line in others] == ["stopping", "stopped"]
    assert lost_lines() == 3


@pytest.mark.parametrize("named", [True, False])
def test_a_terminal(monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    """A terminal accepts lines; a terminal without a reader does not block the process."""
    screen, program = os.openpty()
    if not named:
        monkeypatch.setattr(os, "ttyname", Mock(side_effect=FileNotFoundError))
    with open(program, "w") as stream:  # noqa: PTH123
        writer = NonBlockingHandler(stream)
        writer.emit(logging.makeLogRecord({"msg": "started"}))
        assert os.read(screen, 100) == b"started\r\n"
        for _ in range(10_000 * named):
            writer.emit(logging.makeLogRecord({"msg": "pair ended"}))
    os.close(screen)


def test_truncated_line(pipe: Pipe) -> None:
    """A truncated line does not run into the next."""
    log = configure_logging("text", stream=pipe.stream)
    log.info("y" * (1 << 20))
    log.info("lost")
    assert pipe.read().rstrip("y").endswith("event=")
    log.info("stopped")
    empty, lost, stopped = pipe.read().split("\n", 2)
    assert empty == ""
    assert lost.endswith("lost=2")
    assert stopped.endswith("event=stopped\n")


def test_a_reader_that_is_gone(pipe: Pipe) -> None:
    """Lines to a pipe without a reader are lost."""
    log = configure_logging(stream=pipe.stream)
    pipe.hang_up()
    for _ in range(2):
        log.info("started")


def test_closed_stream(pipe: Pipe) -> None:
    """A stream that was closed, before or since, drops the lines."""
    log = configure_logging("text", stream=pipe.stream)
    pipe.stream.close()
    log.info("started")
    writer = NonBlockingHandler(pipe.stream)
    writer.emit(logging.makeLogRecord({"msg": "started"}))


def test_a_record_that_cannot_be_formatted(capfd: pytest.CaptureFixture[str]) -> None:
    """A record that cannot be formatted loses its line, and not the connection."""
    stream = io.StringIO()
    writer = NonBlockingHandler(stream)
    writer.emit(logging.makeLogRecord({"msg": "%d", "args": ("no number",)}))
    assert stream.getvalue() == ""
    writer.emit(logging.makeLogRecord({"msg": "started"}))
    assert stream.getvalue() == "log lines lost\nstarted\n"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("closing", ["2>&-", "2>/dev/full"])
def test_process_without_a_writable_standard_error(closing: str) -> None:
    """With a closed or full standard error, the process works; no other descriptor gets a line."""
    program = (
        "import os; from relay.daemon.logging import configure_logging\n"
        "log = configure_logging()\n"
        "reader, writer = os.pipe()\n"  # one of them is descriptor 2, if that was closed
        "log.info('started')\n"
        "os.set_blocking(reader, False)\n"
        "try: os.read(reader, 9)\n"
        "except BlockingIOError: print('nothing')\n"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -c "$1" {closing}', sys.executable, program],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == "nothing\n"
