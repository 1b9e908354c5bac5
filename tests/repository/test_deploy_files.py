"""The files of deploy/ agree with each other and with the relay, as far as reading them shows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from relay import RelaySettings
from relay.cli.options import variable_of
from relay.daemon.settings import DaemonSettings
from relay.fields import iter_fields

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEPLOY = ROOT / "deploy"
FILES = [
    ROOT / "Containerfile",
    DEPLOY / "arc-relay.env.example",
    DEPLOY / "compose.yaml",
    DEPLOY / "compose.network.yaml",
    *sorted((DEPLOY / "systemd").iterdir()),
    *sorted((DEPLOY / "podman").iterdir()),
    *sorted((DEPLOY / "kubernetes").rglob("*.yaml")),
]
VARIABLES = {
    variable_of(name)
    for kind in (DaemonSettings, RelaySettings)
    for name, _, _ in iter_fields(kind)
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_variables(path: Path) -> None:
    """Each variable in a file is one of the relay's."""
    named = set(re.findall(r"ARC_RELAY_[A-Z_]+", path.read_text()))
    assert named <= VARIABLES


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("requirements.txt", PROJECT["project"]["dependencies"]),
        ("requirements-build.txt", PROJECT["build-system"]["requires"]),
    ],
)
def test_requirements(file: str, wanted: list[str]) -> None:
    """Each dependency is pinned to one version, with hashes, and without an index address."""
    text = (ROOT / file).read_text()
    assert "://" not in text
    pins = re.findall(r"^([a-z0-9-]+)==\S+.*?((?: \\\n    --hash=\S+)*)$", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[^ #\n]", text, re.MULTILINE))
    assert all("--hash=sha256:" in hashes for _, hashes in pins)
    names = {re.split(r"[^A-Za-z0-9-]", requirement)[0] for requirement in wanted}
    assert names <= {name for name, _ in pins}


def test_base_image() -> None:
    """The base image is pinned by its digest, once, and each stage of the build begins with it."""
    text = (ROOT / "Containerfile").read_text()
    base, *stages = re.findall(r"^FROM (.*)$", text, re.MULTILINE)
    pinned = re.fullmatch(
        r"(docker\.io/library/python:3\.\d+-slim)@sha256:[0-9a-f]{64} AS base", base
    )
    assert pinned
    assert stages == ["base AS build", "base"]
    assert f'org.opencontainers.image.base.name="{pinned[1]}"' in text
    assert pinned[1] in (ROOT / "docs/deployment.md").read_text()
    assert "package-ecosystem: docker" in (ROOT / ".github/dependabot.yml").read_text()


def hardening(unit: str) -> list[str]:
    """Return the lines of a service that restrict it."""
    text = (DEPLOY / "systemd" / unit).read_text()
    return text.partition("\nDynamicUser=yes")[2].partition("\n[Install]")[0].splitlines()


def test_instances_are_hardened_like_the_single_service() -> None:
    """The template unit has every restriction of the single service."""
    assert hardening("arc-relay.service") == hardening("arc-relay@.service")
    assert len(hardening("arc-relay.service")) > 25


def test_compose_mounts_existing_files() -> None:
    """The files that compose mounts into a proxy exist in this repository."""
    mounted = re.findall(r"^ +- (\./[^:]+):", (DEPLOY / "compose.yaml").read_text(), re.MULTILINE)
    assert len(mounted) == 1
    assert all((DEPLOY / path).is_file() for path in mounted)
