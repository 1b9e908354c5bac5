"""The commands of docs/deployment.md, on new Debian systems.

The commands run as written and in the order of the document. The commands in this file only remove
one alternative before the next: one proxy before another proxy.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from .building import ROOT
from .debian import Debian, build_debian, start_debian, write_images
from .documented import Block, read_blocks
from .podman import Podman

DOCUMENT: Final = read_blocks(ROOT / "docs" / "deployment.md")
VERSION: Final = os.environ.get("ARC_TEST_DEBIAN", "13")
SUITES: Final = {"12": "bookworm", "13": "trixie"}
REPEAT_SECONDS: Final = 60
"""Time for the first certificate, during which the document says to repeat the probe."""
NO_CODES: Final = "! { journalctl --no-pager; cat /var/log/*/*; } 2>/dev/null | grep 'pair='"
"""Fails if a log has the query of a request."""
PREPARE: Final = "Before you start"
SYSTEMD: Final = {
    PREPARE: "",
    "systemd": "",
    "Caddy": "",
    "nginx": "systemctl disable --now caddy",
    "TLS without a proxy": "systemctl disable --now nginx",
    "Unix socket": "rm -r /etc/systemd/system/arc-relay.service.d",
}
"""Sections for the relay without a container, and the command that removes the last alternative."""
ALONE: Final = {PREPARE: "", "Container": "", "Quadlet": "", "podman run": "", "Token": ""}
WITH_TOKEN: Final = {
    "Quadlet": "systemctl restart arc-relay",
    "podman run": "podman rm -f arc-relay",
}
PROBE: Final = "podman exec arc-relay arc-relay probe ws://127.0.0.1:8765/"
COMPOSE: Final = {"compose": "", "The network of another proxy": "podman network create proxy"}
UPGRADE: Final = {"Upgrade and rollback": ""}


@pytest.fixture(scope="module")
def new_image(podman: Podman, work: Path) -> Iterator[str]:
    """Build an image of a new Debian."""
    name = build_debian(podman, SUITES[VERSION], work)
    yield name
    podman("rmi", name)


@pytest.fixture
def debian(podman: Podman, new_image: str, tmp_path: Path) -> Iterator[Debian]:
    """Start a new Debian."""
    with start_debian(podman, new_image, tmp_path) as debian:
        yield debian


def select(sections: dict[str, str], *, container: bool) -> list[Block]:
    """Return the blocks of sections for this Debian version, with a container or without one."""
    blocks = []
    for block in DOCUMENT:
        version = re.search(r"On Debian (\d+)", block.lead)
        if (
            block.section in sections
            and (version is None or version[1] == VERSION)
            and (block.section not in UPGRADE or ("podman" in block.commands) == container)
        ):
            blocks.append(block)
    return blocks


def follow(debian: Debian, blocks: list[Block], before: dict[str, str]) -> None:
    """Run blocks, each after the command that removes the last alternative."""
    for block in blocks:
        if before[block.section]:
            run(debian, before[block.section])
        *commands, last = block.commands.strip().splitlines()
        if " probe " in last:
            if commands:
                run(debian, "\n".join(commands))
            repeat(debian, last)
        else:
            run(debian, block.commands)


def run(debian: Debian, commands: str) -> str:
    """Run commands, which must succeed."""
    done = debian.run(commands)
    assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def repeat(debian: Debian, command: str) -> None:
    """Repeat a command until it succeeds."""
    deadline = time.monotonic() + REPEAT_SECONDS
    while (done := debian.run(command)).returncode:
        assert time.monotonic() < deadline, f"{command}\n{done.stdout}\n{done.stderr}"
        time.sleep(1)


def test_every_block_is_run() -> None:
    """Each block of the document belongs to a section that a test follows."""
    followed = SYSTEMD.keys() | ALONE.keys() | COMPOSE.keys() | UPGRADE.keys()
    assert {block.section for block in DOCUMENT} == followed


def test_systemd(debian: Debian) -> None:
    """The sections about systemd work, and a renewed certificate restarts the relay."""
    blocks = select(SYSTEMD, container=False)
    assert {block.section for block in blocks} == SYSTEMD.keys()
    follow(debian, blocks[:-1], SYSTEMD)
    run(debian, NO_CODES)
    process = "systemctl show --property=MainPID --value arc-relay"
    first = run(debian, process)
    run(debian, "certbot renew --force-renewal --no-random-sleep-on-renew")
    assert run(debian, process) not in {"0\n", first}
    follow(debian, blocks[-1:], SYSTEMD)
    follow(debian, select(UPGRADE, container=False), UPGRADE)
    assert run(debian, "readlink /opt/arc-relay") == "arc-relay-1.0.0\n"
    run(debian, "/opt/arc-relay/bin/arc-relay health unix:/run/arc-relay/relay.sock")


def test_containers(debian: Debian, podman: Podman, base: str, tmp_path: Path) -> None:
    """The sections about containers work, and the token applies."""
    write_images(podman, base, tmp_path)
    blocks = select(ALONE, container=True)
    follow(debian, blocks[:1], ALONE)
    run(debian, blocks[1].commands.splitlines()[0])
    debian.load_images()
    (tmp_path / "base.tar").unlink()
    follow(debian, blocks[1:], ALONE)
    run(debian, WITH_TOKEN[blocks[2].section])
    if blocks[2].section == "podman run":
        run(debian, blocks[2].commands)
    repeat(debian, f'{PROBE} --token "$(cat /etc/arc-relay/token)"')
    assert "401" in debian.run(PROBE).stdout
    follow(debian, select(UPGRADE, container=True), UPGRADE)
    run(debian, "systemctl stop arc-relay || podman rm -f arc-relay")
    run(debian, "sed -i '/^ARC_RELAY_TOKEN_FILE/d' /etc/arc-relay/relay.env")
    follow(debian, select(COMPOSE, container=True), COMPOSE)
