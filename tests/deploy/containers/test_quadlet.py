"""Files for podman's generator of units."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .building import ROOT
from .podman import Podman

FILES = ROOT / "deploy" / "podman"


class Quadlet:
    """Generator of the podman in the base image."""

    def __init__(self, podman: Podman, base: str) -> None:
        self._podman = podman
        self._base = base

    def __call__(self, files: Path, units: Path) -> subprocess.CompletedProcess[str]:
        """Run the generator as systemd does when it starts."""
        return self._podman.attempt(
            *("run", "--rm", "--network=none", "--env=QUADLET_UNIT_DIRS=/files"),
            *(f"--volume={files}:/files:ro", f"--volume={units}:/units"),
            *(self._base, "/usr/libexec/podman/quadlet", "/units"),
        )


@pytest.fixture
def generate(podman: Podman, base: str) -> Quadlet:
    """Return the generator."""
    return Quadlet(podman, base)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Return a folder for units."""
    folder = tmp_path / "units"
    folder.mkdir()
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a folder with the shipped files, and the links that their comment makes."""
    folder = tmp_path / "files"
    shutil.copytree(FILES, folder)
    (folder / "arc-relay@8766.container").symlink_to("arc-relay@.container")
    return folder


def test_units(generate: Quadlet, files: Path, units: Path) -> None:
    """The generated units start with the machine; their containers are healthy and restricted."""
    done = generate(files, units)
    assert done.returncode == 0, done.stderr
    wanted = units / "multi-user.target.wants"
    assert {path.name for path in wanted.iterdir()} == {
        "arc-relay.service",
        "arc-relay@8766.service",
    }
    for name in ("arc-relay.service", "arc-relay@.service"):
        unit = (units / name).read_text()
        (command,) = re.findall(r"^ExecStart=.*$", unit, re.MULTILINE)
        assert "\nType=notify\n" in unit
        for option in (
            "--sdnotify=healthy",
            '--health-cmd "CMD arc-relay health"',
            "--health-on-failure kill",
            "--read-only ",
            "--read-only-tmpfs=false",
            "--cap-drop all",
            "--security-opt=no-new-privileges",
        ):
            assert option in command


def test_unknown_key(generate: Quadlet, files: Path, units: Path) -> None:
    """The generator refuses an unknown key."""
    file = files / "arc-relay.container"
    file.write_text(file.read_text().replace("HealthCmd=", "HealthComand="))
    assert generate(files, units).returncode != 0
