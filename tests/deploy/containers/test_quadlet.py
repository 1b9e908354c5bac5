"""The files for podman's own generator of units."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .building import ROOT, run

FILES = ROOT / "deploy" / "podman"


@pytest.fixture(scope="session")
def quadlet(base: str, work: Path) -> Path:
    """Return the path of the generator, from the podman of the base image's distribution."""
    (package,) = work.glob("podman_*.deb")
    run("dpkg-deb", "--extract", str(package), str(work / "podman"))
    return work / "podman" / "usr" / "libexec" / "podman" / "quadlet"


def generate(quadlet: Path, files: Path, units: Path) -> subprocess.CompletedProcess[str]:
    """Run the generator as systemd does when it starts."""
    return subprocess.run(
        [quadlet, units],
        env={"QUADLET_UNIT_DIRS": str(files)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a folder with the files as they are shipped, and the links that the comment makes."""
    folder = tmp_path / "files"
    shutil.copytree(FILES, folder)
    (folder / "arc-relay@8766.container").symlink_to("arc-relay@.container")
    return folder


def test_units(quadlet: Path, files: Path, tmp_path: Path) -> None:
    """They become units that start with the machine, and containers that are healthy and bare."""
    done = generate(quadlet, files, tmp_path)
    assert done.returncode == 0, done.stderr
    wanted = tmp_path / "multi-user.target.wants"
    assert {path.name for path in wanted.iterdir()} == {
        "arc-relay.service",
        "arc-relay@8766.service",
    }
    for name in ("arc-relay.service", "arc-relay@.service"):
        unit = (tmp_path / name).read_text()
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


def test_unknown_key(quadlet: Path, files: Path, tmp_path: Path) -> None:
    """The generator would have refused a key that it does not know."""
    file = files / "arc-relay.container"
    file.write_text(file.read_text().replace("HealthCmd=", "HealthComand="))
    assert generate(quadlet, files, tmp_path).returncode != 0
