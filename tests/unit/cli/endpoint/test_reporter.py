"""Output of the commands on standard error, on a terminal and elsewhere."""

from __future__ import annotations

import os
import re
import sys
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TextIO, cast

import pytest
import trio
import trio.testing

from relay.cli.endpoint.reporter import Reporter
from relay.cli.endpoint.status import Status
from relay.client import Connected, Ended, PeerAborted, Session, TargetError, Waiting


@dataclass
class Terminal:
    """Terminal whose output can be read."""

    stream: TextIO
    screen: int

    def reporter(self, peers: str = "guest", idle: str = "waiting", **options: bool) -> Reporter:
        """Return a reporter whose standard error is the terminal."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stderr", self.stream)
            return Reporter(Status(peers, idle), **{"quiet": False, **options})

    def read(self) -> str:
        """Return the output so far."""
        os.set_blocking(self.screen, False)
        output = b""
        with suppress(BlockingIOError):
            while True:
                output += os.read(self.screen, 65536)
        return output.decode()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Return a terminal, which is standard error."""
    screen, keyboard = os.openpty()
    monkeypatch.setenv("COLUMNS", "60")
    with open(keyboard, "w") as stream, open(screen, "rb"):  # noqa: PTH123 - descriptors
        yield Terminal(stream, screen)


@dataclass
class Counters:
    """Session that has only counters."""

    bytes_sent: int = 0
    bytes_received: int = 0


FAILED = Ended("a", TargetError("no target"))


@asynccontextmanager
async def running(reporter: Reporter) -> AsyncIterator[None]:
    """Run a reporter during a with block."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporter.run)
        yield
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("quiet", "single", "lines"),
    [
        (False, False, ["waiting", "session a: connected", "session a: failed: no target"]),
        (True, False, ["session a: failed: no target"]),
        (False, True, ["waiting", "session a: connected"]),
        (True, True, []),
    ],
)
async def test_lines(
    capsys: pytest.CaptureFixture[str], quiet: bool, single: bool, lines: list[str]
) -> None:
    """Without a terminal, each change is a line; a command with one session reports its failure."""
    reporter = Reporter(Status("guest", "waiting"), quiet=quiet, single=single)
    async with running(reporter):
        for event in (Waiting(), Waiting(), Connected("a"), FAILED):
            reporter.on_event(event)
    reporter.on_event(Ended("b", PeerAborted(2, "closed")))
    output = capsys.readouterr().err
    expected = [*lines, *([] if quiet else ["session b: closed"])]
    assert output == "".join(f"arc-relay: {line}\n" for line in expected)


async def test_terminal(terminal: Terminal, autojump_clock: trio.testing.MockClock) -> None:
    """On a terminal, one line is rewritten, and removed in the end; failures are lines."""
    reporter = terminal.reporter()
    async with running(reporter):
        reporter.on_event(Waiting())
        await trio.sleep(1.1)
        assert terminal.read() == "\r\x1b[Kwaiting"
        reporter.on_event(Connected("a"))
        with reporter.traffic.counting(cast("Session", Counters(5, 10**6))):
            await trio.sleep(0.5)
            assert re.fullmatch(
                r"\r\x1b\[K1 guest \| sent 5 B, received 1.00 MB \| [\d.]+ .?B/s", terminal.read()
            )
        reporter.on_event(FAILED)
        failure = "\r\x1b[Karc-relay: session a: failed: no target\r\n"
        assert terminal.read() == failure
        await trio.sleep(0.5)
        terminal.read()
    assert terminal.read() == "\r\x1b[K"


async def test_single(terminal: Terminal, autojump_clock: trio.testing.MockClock) -> None:
    """Few bytes of a guest are not displayed, because they may be a prompt for a password."""
    reporter = terminal.reporter("host", "waiting for the host", single=True)
    session = Counters()
    async with running(reporter):
        await trio.sleep(0.6)
        assert terminal.read() == "\r\x1b[Kconnecting to the relay"
        reporter.on_event(Connected("a"))
        with reporter.traffic.counting(cast("Session", session)):
            await trio.sleep(0.5)
            assert terminal.read() == "\r\x1b[K"
            session.bytes_sent = 10**6
            await trio.sleep(0.5)
            assert "sent 1.00 MB" in terminal.read()


async def test_quiet(terminal: Terminal, autojump_clock: trio.testing.MockClock) -> None:
    """With --quiet, nothing is drawn."""
    reporter = terminal.reporter(quiet=True)
    async with running(reporter):
        await trio.sleep(5)
    assert terminal.read() == ""


async def test_idle(autojump_clock: trio.testing.MockClock) -> None:
    """Without a terminal, no timer wakes an idle command."""
    with trio.fail_after(5):
        await Reporter(Status("guest", "waiting"), quiet=False).run()


def test_terminal_of_another_program(terminal: Terminal) -> None:
    """A terminal that another program has set to single characters gets no rewritten line."""
    modes = termios.tcgetattr(terminal.stream)
    modes[3] &= ~termios.ICANON
    termios.tcsetattr(terminal.stream, termios.TCSANOW, modes)
    terminal.reporter().draw("line")
    assert terminal.read() == ""


def test_width(terminal: Terminal) -> None:
    """A long line is cut at the width of the terminal, and precedes no other line."""
    reporter = terminal.reporter()
    reporter.draw(100 * "x")
    assert terminal.read() == "\r\x1b[K" + 59 * "x"
    reporter.say("line")
    assert terminal.read() == "\r\x1b[Karc-relay: line\r\n"


def test_no_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed standard error is no terminal, and gets nothing."""
    monkeypatch.setattr(sys, "stderr", None)
    reporter = Reporter(Status("guest", "waiting"), quiet=False)
    reporter.say("line")
    assert not reporter.is_terminal
