"""The workflows run the project's own sessions, with pinned actions and minimal permissions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
CHECKS = (ROOT / ".github/workflows/checks.yml").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WRITABLE = {"artifact-metadata", "attestations", "id-token", "packages"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_pins(path: Path) -> None:
    """Each action is pinned by its commit, with its version in a comment."""
    used = re.findall(r"uses: (.*)", path.read_text())
    external = [action for action in used if not action.startswith("./")]
    assert len(external) >= 4
    for action in external:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_one_version_of_each_action() -> None:
    """All workflows use the same commit of an action."""
    text = "".join(path.read_text() for path in WORKFLOWS)
    used = set(re.findall(r"uses: ([\w./-]+)@(\w+)", text))
    assert len(used) == len({action for action, _ in used})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_permissions(path: Path) -> None:
    """A workflow may read or nothing by default; no job may write to the repository."""
    text = path.read_text()
    assert re.search(r"^permissions:( \{\}|\n  contents: read)\n\n", text, re.MULTILINE)
    assert set(re.findall(r"^\s+([a-z-]+): write", text, re.MULTILINE)) <= WRITABLE
    assert "secrets." not in text


def test_pythons() -> None:
    """The matrix has each CPython that the distribution declares, and one more as an experiment."""
    declared = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    (listed,) = re.findall(r"python: \[(.*)\]", CHECKS)
    assert re.findall(r'"([\d.]+)"', listed) == declared
    (next_one,) = re.findall(r'- python: "([\d.]+)"\n\s+experimental: true', CHECKS)
    assert next_one not in declared


def test_same_sessions() -> None:
    """The workflow `checks` and .ci/run run the same sessions, which noxfile.py has."""
    source = (ROOT / "noxfile.py").read_text()
    found = set(re.findall(r"^def (\w+)\(session: nox\.Session\)", source, re.MULTILINE))
    sessions = {name.replace("_", "-") for name in found} - {"install"}
    (local,) = re.findall(r"nox --parallel 3 -s ([a-z -]+) 2>&1", (ROOT / ".ci/run").read_text())
    assert {*local.split(), "tests"} == sessions  # other-tests and readme-tests are its parts
    named = " ".join(re.findall(r"nox -s ([a-z -]+)$", CHECKS, re.MULTILINE)).split()
    named += re.findall(r"session: \[(.*)\]", CHECKS)[0].split(", ")
    assert {*named, "tests", "other-tests"} == sessions
    assert 'nox -s "tests-$PYTHON"' in CHECKS
