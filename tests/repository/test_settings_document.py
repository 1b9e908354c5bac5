"""The reference of the settings agrees with their definitions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from docs.generate_settings import reference, table
from relay import RelaySettings
from relay.daemon.settings import DaemonSettings
from relay.fields import iter_fields

COMMITTED = Path(__file__).parents[2] / "docs" / "settings.md"


def test_committed() -> None:
    """The file in the repository is the output of `python docs/generate_settings.py`."""
    assert COMMITTED.read_text() == reference()


def test_printed() -> None:
    """The module prints the reference, without a warning."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "docs.generate_settings"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (reference(), "")


@pytest.mark.parametrize("kind", [DaemonSettings, RelaySettings])
def test_rows(kind: type) -> None:
    """Each setting has one row of five columns, and each table is in the reference."""
    lines = table(kind)
    names = [name for name, _, _ in iter_fields(kind)]
    assert len(lines) == 2 + len(names)
    for name, line in zip(names, lines[2:], strict=True):
        assert line.count("|") == 6
        assert line.startswith(f"| `--{name.replace('_', '-')}`")
        assert f" | `ARC_RELAY_{name.upper()}` | " in line
    assert "\n".join(lines) in reference()


def test_row() -> None:
    """A row has the flags, the variable, the default and the meaning and the allowed values."""
    assert (
        "| `--port`, `-p` | `ARC_RELAY_PORT` | `8765` | The port to listen on; 0 lets the system"
        " choose. | a whole number from 0 to 65535 |\n"
    ) in reference()
    assert "| `--strict-codes`, `--no-strict-codes` | `ARC_RELAY_STRICT_CODES` | `false` | " in (
        reference()
    )
    assert "| `ARC_RELAY_MAX_CONNECTIONS` | 90 % of the descriptor limit | " in reference()


def test_other_options() -> None:
    """The options that are no settings have rows, also if a setting has the same name."""
    found = reference().partition("## Other options")[2]
    assert "| `probe` | `--quick` |  | " in found
    assert "| `probe` | `--token-file PATH` |  | " in found
    assert "| `probe` | `--timeout TIME` | `30s` | Timeout of a step. |" in found
    assert "| `start` | `--check` |  | " in found
    assert "| `start` | `--port" not in found
