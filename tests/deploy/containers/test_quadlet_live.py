"""Containers that systemd runs by Quadlet, in a container with systemd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import trio

from .building import ROOT
from .clients import exchange, expect_exchange, join
from .machine import Machine, boot
from .podman import Podman

FILES: Final = ROOT / "deploy" / "podman"
FOLDER: Final = "/etc/containers/systemd"
SETTINGS: Final = ROOT / "deploy" / "arc-relay.env.example"
NAME: Final = "localhost/arc-relay:latest"

QUICK: Final = """
[Container]
HealthInterval=2s
"""


@pytest.fixture(scope="module")
def booted(podman: Podman, image: str, work: Path) -> Iterator[Machine]:
    """Boot a machine with podman, and the relay's image in it."""
    archive = work / "image.tar"
    podman("save", "--quiet", f"--output={archive}", image)
    options = (
        f"--volume={podman.settings}:/etc/containers/containers.conf:ro",
        f"--volume={archive}:/image.tar:ro",
        f"--volume={FILES}:/shipped:ro",
        # Layers cannot lie on the layers of the machine itself.
        "--volume=/var/lib/containers",
    )
    with boot(podman, image, *options) as container:
        container.do("podman", "load", "--quiet", "--input=/image.tar")
        container.do("podman", "tag", image, NAME)
        archive.unlink()
        yield Machine(container)


@pytest.fixture
async def machine(booted: Machine, time_limit: None) -> Machine:
    """Return a machine without a running relay, with the shipped files."""
    await booted.systemctl("stop", "arc-relay*")
    booted.container.do("rm", "--recursive", "--force", FOLDER)
    booted.container.do("cp", "--recursive", "/shipped", FOLDER)
    booted.write("/etc/arc-relay/relay.env", SETTINGS.read_text())
    await booted.systemctl("daemon-reload")
    return booted


async def test_life(machine: Machine) -> None:
    """A started relay is healthy, and forwards; a stop closes its sides."""
    await machine.systemctl("start", "arc-relay")
    health = machine.container.do(
        "podman", "inspect", "--format={{.State.Health.Status}}", "arc-relay"
    )
    assert health == "healthy"
    async with await join(machine.container) as a, await join(machine.container) as b:
        await exchange(a, b)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(machine.systemctl, "stop", "arc-relay")
            for client in (a, b):
                assert await client.closed() == (1001, "relay stopping")
    assert await machine.show("arc-relay", "ActiveState") == "inactive"
    assert await machine.show("arc-relay", "Result") == "success"
    assert await machine.show("arc-relay", "ExecMainStatus") == "0"


async def test_hung(machine: Machine) -> None:
    """A relay that hangs is killed, and another one serves; the check interval is shortened."""
    machine.container.do("mkdir", f"{FOLDER}/arc-relay.container.d")
    machine.write(f"{FOLDER}/arc-relay.container.d/quick.conf", QUICK)
    await machine.systemctl("daemon-reload")
    await machine.systemctl("start", "arc-relay")
    machine.container.do("podman", "kill", "--signal=STOP", "arc-relay")
    while await machine.show("arc-relay", "NRestarts") == "0":
        await trio.sleep(0.2)
    while await machine.show("arc-relay", "ActiveState") != "active":
        await trio.sleep(0.1)
    await expect_exchange(machine.container)


async def test_instances(machine: Machine) -> None:
    """Several relays run side by side, each at the port of its link; one outlives the other."""
    ports = (8765, 8766)
    for port in ports:
        link = f"{FOLDER}/arc-relay@{port}.container"
        machine.container.do("ln", "--symbolic", "arc-relay@.container", link)
    await machine.systemctl("daemon-reload")
    await machine.systemctl("start", *(f"arc-relay@{port}" for port in ports))
    for port in ports:
        await expect_exchange(machine.container, port)
    async with await join(machine.container) as a, await join(machine.container) as b:
        await machine.systemctl("stop", "arc-relay@8766")
        await exchange(a, b)
