"""A setting is added in one place: its field in relay/settings.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
END = "    def __post_init__"
FIELD = '    min_code_length: int = integer(7, "The length.", maximum=99, panel="Access")\n\n'


class Repository:
    """A copy of the repository, with one more setting."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for folder in ("relay", "docs"):
            shutil.copytree(
                ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__")
            )
        settings = root / "relay" / "settings.py"
        before, after = settings.read_text().split(END)
        settings.write_text(before + FIELD + END + after)

    def run(
        self, module: str, *arguments: str, variables: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a module of the copy to its end."""
        # The coverage of the copy must not count.
        inherited = {name: os.environ[name] for name in os.environ if "COVERAGE" not in name}
        own = {"PYTHONPATH": str(self._root), "COLUMNS": "300"}
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self._root,
            env=inherited | own | (variables or {}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Return a copy of the repository, with one more setting."""
    return Repository(tmp_path_factory.mktemp("repository"))


def test_panel(repository: Repository) -> None:
    """The help has the flag of the setting, in the panel of its field."""
    panels = repository.run("relay", "start", "--help").stdout.split("╭─ ")
    (panel,) = [panel for panel in panels if "--min-code-length" in panel]
    assert panel.startswith("Access ─")
    assert "The length. A whole number from 0 to 99. [default: 7]" in panel


def test_flag(repository: Repository) -> None:
    """The flag sets the setting."""
    done = repository.run("relay", "start", "--check", "--min-code-length", "8")
    (line,) = [line.split() for line in done.stdout.splitlines() if "min-code-length" in line]
    assert line == ["--min-code-length", "8", "flag"]


def test_variable_and_validation(repository: Repository) -> None:
    """The environment variable is read, and its value is validated."""
    variables = {"ARC_RELAY_MIN_CODE_LENGTH": "100"}
    done = repository.run("relay", "start", "--check", variables=variables)
    assert done.returncode == 2
    expected = "ARC_RELAY_MIN_CODE_LENGTH must be a whole number from 0 to 99, not '100'"
    assert expected in done.stderr


def test_document(repository: Repository) -> None:
    """The generated document has a row for the setting."""
    row = (
        "| `--min-code-length` | `ARC_RELAY_MIN_CODE_LENGTH` | `7` | The length. |"
        " a whole number from 0 to 99 |"
    )
    assert row in repository.run("docs.generate_settings").stdout.splitlines()
