"""The guides for contributors and operators name existing things of the repository."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
RELAY = ROOT / "relay"
ROOMS = re.findall(r"^\| `([a-z]+)` \| .* \| (?:all|no room)", CONTRIBUTING, re.MULTILINE)
SHIPPED = ("Caddyfile", ".cfg", ".conf", ".container", ".json", ".service", ".socket", ".yaml")


def section(title: str) -> str:
    """Return the text of a section of CONTRIBUTING.md."""
    return CONTRIBUTING.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def defined() -> set[str]:
    """Return the names of the functions, classes and methods in relay/, with their class."""
    names = set[str]()
    for path in RELAY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, FUNCTION | ast.ClassDef):
                names.add(node.name)
            if isinstance(node, ast.ClassDef):
                methods = (each.name for each in node.body if isinstance(each, FUNCTION))
                names |= {f"{node.name}.{method}" for method in methods}
    return names


def test_rooms() -> None:
    """The map has each package of relay/."""
    assert set(ROOMS) == {path.parent.name for path in RELAY.glob("*/__init__.py")}


@pytest.mark.parametrize(
    "title", ["One byte from socket to socket", "One connection from accept to close"]
)
def test_walks(title: str) -> None:
    """The functions and modules of a walk exist."""
    text = section(title)
    modules = re.findall(r"\(((?:[a-z_]+/)?[a-z_]+\.py)\)", text)
    assert len(modules) >= 5
    assert [module for module in modules if not (RELAY / module).exists()] == []
    names = {
        name for name in re.findall(r"`(\w+(?:\.\w+)?)`", text) if not name.islower() or "_" in name
    }
    settings = {"handshake_timeout", "close_timeout"}
    assert names - settings - defined() == set()


def test_commands() -> None:
    """The sessions in the table exist, and the table has every session."""
    source = (ROOT / "noxfile.py").read_text()
    functions = set(re.findall(r"^def (\w+)\(session: nox\.Session\)", source, re.MULTILINE))
    sessions = {name.replace("_", "-") for name in functions} - {"install"}
    named = set(re.findall(r"^\| `nox -s ([a-z-]+)`", section("Commands"), re.MULTILINE))
    assert named == sessions


def test_folders_of_tests() -> None:
    """The table of test folders has each folder once."""
    named = re.findall(r"^\| `tests/(\w+)` \|", section("Tests"), re.MULTILINE)
    assert {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("*.py"))} <= {*named}
    assert len(named) == len(set(named))


def test_index_of_documents() -> None:
    """The index has a link to every document."""
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "docs/README.md").read_text())
    indexed = {(ROOT / "docs" / link).resolve() for link in links}
    documents = {*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "deploy/README.md"}
    assert documents - {ROOT / "docs/README.md"} <= indexed


def test_index_of_deployment() -> None:
    """The index of deploy/ has a link to every file that is not below a linked folder."""
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "deploy/README.md").read_text())
    linked = {(ROOT / "deploy" / link).resolve() for link in links}
    assert all(path.exists() for path in linked)
    shipped = {path for path in (ROOT / "deploy").rglob("*") if path.name.endswith(SHIPPED)}
    missing = {path for path in shipped if not linked & {path, *path.parents}}
    assert {path.name for path in missing} == {"alerts.test.yaml", "alerts.week.test.yaml"}


def test_distribution() -> None:
    """The sdist has the files that a contributor needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [path for path in included if not (ROOT / path.lstrip("/")).exists()] == []
    assert {"/examples", "/noxfile.py", "/CONTRIBUTING.md", "/.github", "/.ci"} <= {*included}
