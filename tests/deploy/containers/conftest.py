"""Fixtures of the container tests: one base image and one image of the relay, built once."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .building import build_base, build_image
from .podman import Podman

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.deploy)


def program(name: str) -> str:
    """Return the path of a program, from the environment of these tests or of the system.

    A test whose program is missing is skipped.
    """
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which(name, path=folders)
    if found is None:
        pytest.skip(f"NOT TESTED: {name} is not installed")
    return found


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the builds."""
    return tmp_path_factory.mktemp("containers")


@pytest.fixture(scope="session")
def podman(work: Path) -> Podman:
    """Return podman."""
    for name in ("podman", "runc", "mmdebstrap"):
        program(name)
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: images are built by root alone")
    return Podman(work)


@pytest.fixture(scope="session")
def base(podman: Podman, work: Path) -> Iterator[str]:
    """Build a base image."""
    name = build_base(podman, work)
    yield name
    podman("rmi", name)


@pytest.fixture(scope="session")
def image(podman: Podman, base: str, work: Path) -> Iterator[str]:
    """Build an image of the relay."""
    name = build_image(podman, base, work)
    yield name
    podman("rmi", name)


@pytest.fixture
def hadolint() -> str:
    """Return the path of hadolint."""
    return program("hadolint")


@pytest.fixture
def podman_compose() -> str:
    """Return the path of podman-compose."""
    return program("podman-compose")
