"""Every check of this repository, as nox sessions: `nox --list`, and CONTRIBUTING.md."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import nox

nox.needs_version = ">=2026.8.17"  # the first with --parallel and its follow-up fixes
nox.options.sessions = ["lint", "types", "docs", "tests"]

ENVIRONMENTS = Path(os.environ.get("ARC_ENVIRONMENTS", ".nox"))
PYPROJECT = Path("pyproject.toml")
REFERENCE = "python docs/generate_settings.py"
SCHEMAS = {
    "github-workflows": "workflows/*.yml",
    "github-issue-forms": "ISSUE_TEMPLATE/[!c]*.yml",
    "github-issue-config": "ISSUE_TEMPLATE/config.yml",
    "dependabot": "dependabot.yml",
}
PROBE = "import sys, venv, ensurepip; print(sys.implementation.name, *sys.version_info[:2])"


def find_pythons() -> dict[str, str]:
    """Return the path of one CPython of each minor version from 3.11 on, oldest first."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [sys.executable, *(f"python3.{minor}" for minor in range(11, 16)), "python3"]
    candidates += map(str, sorted(pyenv.glob("versions/3.*/bin/python3"), reverse=True))
    found = dict[int, str]()
    for path in filter(None, map(shutil.which, candidates)):
        done = subprocess.run([path, "-c", PROBE], capture_output=True, text=True, check=False)
        name, _, version = done.stdout.strip().partition(" 3 ")
        if name == "cpython" and int(version) >= 11:
            found.setdefault(int(version), path)
    return {f"3.{minor}": found[minor] for minor in sorted(found)}


PYTHONS = find_pythons()
FIRST = next(iter(PYTHONS))
"""CPython of the shared environment, of the coverage gate and of the README's commands."""
NEWEST = next(reversed(PYTHONS))
"""CPython of the README's test command."""
WITHOUT_PROCESSES = ("tests/unit", "tests/relay", "tests/client", "tests/simulation")
"""Tests for the CPythons in between. Tests with programs and browsers need most of the time."""


def environment(session: nox.Session, version: str = FIRST) -> Path:
    """Return the programs of an environment, which is made anew when pyproject.toml changes.

    The sessions share the environment of the first CPython, because its installation takes longer
    than most of them.
    """
    folder = ENVIRONMENTS.absolute() / version
    stamp = folder / "installed.toml"
    if not stamp.exists() or stamp.read_text() != PYPROJECT.read_text():
        extras = "dev,deploy,fuzz,lint" if version == FIRST else "dev"
        session.run(PYTHONS[version], "-m", "venv", "--clear", folder, external=True)
        session.run(folder / "bin/pip", "install", "-q", "-e", f".[{extras}]", external=True)
        stamp.write_text(PYPROJECT.read_text())
    return folder / "bin"


def run(
    session: nox.Session, program: str, *arguments: str, env: Mapping[str, str] | None = None
) -> None:
    """Run a program of the shared environment."""
    session.run(environment(session) / program, *arguments, env=env, external=True)


def pytest(session: nox.Session, *arguments: str) -> None:
    """Run pytest in the shared environment."""
    run(session, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)


@nox.session(venv_backend="none", default=False)
def install(session: nox.Session) -> None:
    """Make the shared environment."""
    environment(session)


@nox.session(venv_backend="none", requires=["install"], allow_parallel=True)
def lint(session: nox.Session) -> None:
    """Check formatting, style, docstrings, workflows and templates."""
    run(session, "ruff", "format", "--check")
    run(session, "ruff", "check")
    run(session, "python", ".ci/docstrings.py")
    for schema, pattern in SCHEMAS.items():
        files = sorted(map(str, Path(".github").glob(pattern)))
        run(session, "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)
    run(session, "zizmor", "--offline", "--no-progress", "--quiet", ".github")
    if shutil.which("actionlint"):
        session.run("actionlint", external=True)
    else:
        session.log("actionlint is not installed: skipped")


@nox.session(venv_backend="none", requires=["install"], allow_parallel=True)
def types(session: nox.Session) -> None:
    """Check types with mypy."""
    run(session, "mypy", *session.posargs)


@nox.session(venv_backend="none", requires=["install"], allow_parallel=True)
def docs(session: nox.Session) -> None:
    """Check that docs/settings.md is current; with `-- --write`, write it."""
    program, *arguments = REFERENCE.split()
    generated = subprocess.run(
        [environment(session) / program, *arguments], capture_output=True, text=True, check=True
    ).stdout
    document = Path("docs/settings.md")
    if session.posargs == ["--write"]:
        document.write_text(generated)
    elif document.read_text() != generated:
        session.error("docs/settings.md is not current: run `nox -s docs -- --write`")


def tests_under(version: str) -> Callable[[nox.Session], None]:
    """Return the session that runs the tests under one CPython."""

    def run_tests(session: nox.Session) -> None:
        arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *session.posargs]
        if session.posargs or version != FIRST:
            python = environment(session, version) / "python"
            paths = () if session.posargs or version == NEWEST else WITHOUT_PROCESSES
            session.run(python, *arguments, *paths, external=True)
            return
        data = {"COVERAGE_FILE": str(ENVIRONMENTS.absolute() / "coverage")}
        run(session, "coverage", "erase", env=data)
        run(session, "coverage", "run", *arguments, env=data)
        run(session, "coverage", "combine", "-q", env=data)
        run(session, "coverage", "report", env=data)

    extent = "all tests" if version in {FIRST, NEWEST} else "the tests without processes"
    gate = ", with the coverage gate" if version == FIRST else ""
    run_tests.__doc__ = f"Run {extent} under CPython {version}{gate}."
    return run_tests


for _version in PYTHONS:
    _session = nox.session(
        name=f"tests-{_version}", venv_backend="none", requires=["install"], allow_parallel=True
    )
    _session(tests_under(_version))


@nox.session(
    venv_backend="none", allow_parallel=True, requires=[f"tests-{version}" for version in PYTHONS]
)
def tests(session: nox.Session) -> None:
    """Run the tests under each CPython that is found."""
    session.log(f"tested under CPython {', '.join(PYTHONS)}")


OTHERS = [version for version in PYTHONS if version != NEWEST] or [FIRST]


@nox.session(
    name="other-tests",
    venv_backend="none",
    allow_parallel=True,
    requires=[f"tests-{version}" for version in OTHERS],
    default=False,
)
def other_tests(session: nox.Session) -> None:
    """Run the tests under each CPython but the newest, under which readme-tests runs them."""
    session.log(f"tested under CPython {', '.join(OTHERS)}")


@nox.session(venv_backend="none", requires=["install"], allow_parallel=True, default=False)
def deploy(session: nox.Session) -> None:
    """Test the files of deploy/ with the real programs, without containers; as root."""
    pytest(session, "-m", "deploy", "tests/deploy", "--ignore", "tests/deploy/containers")


@nox.session(venv_backend="none", requires=["install"], allow_parallel=True, default=False)
def containers(session: nox.Session) -> None:
    """Test the image and the units in containers; as root."""
    pytest(session, "-m", "deploy", "tests/deploy/containers")


@nox.session(venv_backend="none", requires=["install"], allow_parallel=True, default=False)
def model(session: nox.Session) -> None:
    """Check the model of pairs, takeover and shutdown with spin."""
    if shutil.which("spin") is None or shutil.which("gcc") is None:
        session.skip("spin or gcc is not installed: .ci/packages installs them")
    run(session, "python", "-m", "proof.model")


@nox.session(venv_backend="none", requires=["install"], allow_parallel=True, default=False)
def fuzz(session: nox.Session) -> None:
    """Fuzz the reframer and the request parser for 30 s each, at the same time."""
    python = environment(session) / "python"
    found = subprocess.run([python, "-c", "import atheris"], capture_output=True, check=False)
    if found.returncode:
        session.skip("atheris has no wheel for this platform")
    run(session, "python", "-m", "proof.fuzz", *session.posargs)


@nox.session(venv_backend="none", requires=["install"], default=False)
def bench(session: nox.Session) -> None:
    """Compare the relay's speed with its yardsticks, while no other session runs."""
    run(session, "python", "-m", "benchmarks", *(session.posargs or ["--gate"]))


@nox.session(venv_backend="none", default=False)
def readme(session: nox.Session) -> None:
    """Run the README's commands that share and run in a new clone, and its smoke test."""
    session.run(PYTHONS[FIRST], ".ci/readme.py", "run", external=True)


@nox.session(name="readme-tests", venv_backend="none", allow_parallel=True, default=False)
def readme_tests(session: nox.Session) -> None:
    """Run the README's test command in a new clone, under the newest CPython that is found."""
    session.run(PYTHONS[NEWEST], ".ci/readme.py", "test", external=True)
