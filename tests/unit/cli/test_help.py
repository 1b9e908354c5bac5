"""Help of the command line: panels, width, and a call without arguments."""

from __future__ import annotations

import re
import sys

import pytest

from relay import RelaySettings
from relay.cli import main, options
from relay.daemon.settings import DaemonSettings
from relay.fields import iter_fields
from relay.quantities import SIZE, TIME

DEFINITIONS = [*iter_fields(DaemonSettings), *iter_fields(RelaySettings)]
PANELS = list(options.PANELS)


class Command:
    """The command line, and the output of its last call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.output = ""

    def status(self, *arguments: str, columns: int = 80) -> int:
        """Run the command line in a terminal of this width; return its exit status."""
        self._monkeypatch.setenv("COLUMNS", str(columns))
        self._monkeypatch.setattr(sys, "argv", ["arc-relay", *arguments])
        with pytest.raises(SystemExit) as caught:
            main.main()
        self.output, err = self._capsys.readouterr()
        assert err == ""
        return int(caught.value.code or 0)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return the command line."""
    return Command(monkeypatch, capsys)


def test_panels() -> None:
    """Each setting names its panel, and no panel is empty."""
    assert {about.panel for _, _, about in DEFINITIONS} == set(PANELS[1:])


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_width(command: Command, columns: int) -> None:
    """The panels have their order, and no line is wider than the terminal."""
    assert command.status("start", "--help", columns=columns) == 0
    lines = command.output.splitlines()
    assert max(map(len, lines)) == columns
    assert re.findall(r"^╭─ ([A-Za-z ]+) ─", command.output, re.MULTILINE) == PANELS


def test_settings(command: Command) -> None:
    """Each setting has its flags, its metavar, its meaning and its default."""
    command.status("start", "--help", columns=600)
    lines = [" ".join(line.strip("│ ").split()) for line in command.output.splitlines()]
    for name, default, about in DEFINITIONS:
        words = options.flags_of(name, about)
        shown = about.display(default)
        words += ["<bool>" if about.kind is bool else about.metavar]
        words += [f"{options.help_text(about)} [default: {shown}]"]
        assert " ".join(words) in lines
    assert options.UNITS_HELP in lines


def test_help_text() -> None:
    """The text adds the meaning of 0 or the allowed values, if the metavar does not have them."""
    texts = {name: options.help_text(about) for name, _, about in DEFINITIONS}
    assert texts["pair_ttl"] == "Time that a side may wait for its peer."
    assert texts["max_message_size"] == "Maximum size of a binary message. 0 means no limit."
    assert texts["max_waiting"].endswith(" 503. 0 means no limit.")
    assert texts["log_level"].endswith("to write. One of debug, info, warning, error.")
    assert texts["tls_key"].endswith("of the certificate.")


@pytest.mark.parametrize("unit", [unit for unit, _ in (*TIME, *SIZE)])
def test_units(unit: str) -> None:
    """The last paragraph has every unit."""
    assert unit in re.findall(r"\w+", options.UNITS_HELP)


def test_without_arguments(command: Command) -> None:
    """Without arguments, the program prints its help; the status is that of wrong usage."""
    assert command.status("--help") == 0
    expected = command.output
    assert all(f"│ {name}" in expected for name in ("start", "health", "probe"))
    assert command.status() == 2
    assert command.output == expected
