"""Units under a systemd that is the first process of a container."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import trio

from .building import ROOT
from .clients import PORT, AnsweringClient, RetryingPair, exchange, expect_exchange, join
from .machine import Machine, boot
from .podman import Podman

UNITS: Final = ROOT / "deploy" / "systemd"
SERVICES: Final = ("arc-relay.service", "arc-relay@.service")
FOLDER: Final = Path("/etc/systemd/system")


class ServiceMachine(Machine):
    """Machine with the relay in /opt/arc-relay, and the shipped units."""

    async def apply_advice(self, unit: str) -> None:
        """Edit a unit, and run the preceding commands, as the comment at its head says."""
        head = (UNITS / unit).read_text().partition("\n[Unit]")[0]
        for command in re.findall(r"^#   ((?:groupadd|chgrp|chmod) .*)$", head, re.MULTILINE):
            self.container.do(*shlex.split(command))
        advice = re.findall(r"^#   (.*)$", head.partition("`systemctl edit ")[2], re.MULTILINE)
        assert advice[0] == "[Service]"
        self.write(f"{FOLDER / unit}.d/override.conf", "\n".join(advice))
        await self.systemctl("daemon-reload")


@pytest.fixture(scope="module")
def booted(podman: Podman, image: str) -> Iterator[ServiceMachine]:
    """Boot a machine."""
    units = [f"--volume={path}:{FOLDER / path.name}:ro" for path in UNITS.iterdir()]
    with boot(podman, image, *units) as container:
        yield ServiceMachine(container)


@pytest.fixture
async def machine(booted: ServiceMachine, time_limit: None) -> ServiceMachine:
    """Return a machine without a running relay, and stop all relays at the end."""
    # Those that would drain are not worth waiting for.
    booted.container.attempt("systemctl", "kill", "--signal=KILL", "arc-relay@*")
    await booted.systemctl("stop", "arc-relay.socket", "arc-relay.service", "arc-relay@*")
    await booted.systemctl("revert", *SERVICES)
    await booted.systemctl("reset-failed")
    return booted


def test_units_are_right(booted: ServiceMachine) -> None:
    """`systemd-analyze verify` finds no fault."""
    names = ["arc-relay.service", "arc-relay.socket", "arc-relay@8765.service"]
    done = booted.container.attempt("systemd-analyze", "verify", *names)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", SERVICES)
def test_exposure(booted: ServiceMachine, unit: str) -> None:
    """`systemd-analyze security` rates the exposure of a service at 1.5 of 10 at most."""
    rate = ("systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager")
    done = booted.container.attempt(*rate, str(FOLDER / unit))
    assert done.returncode == 0, done.stdout[-200:]


async def test_life(machine: ServiceMachine) -> None:
    """A started relay accepts at once and reloads; a stop closes its sides."""
    await machine.systemctl("start", "arc-relay.service")
    async with await join(machine.container) as a, await join(machine.container) as b:
        await exchange(a, b)
        await machine.systemctl("reload", "arc-relay.service")
        status = await machine.show("arc-relay.service", "StatusText")
        assert status == "1 pairs, 0 of them waiting"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(machine.systemctl, "stop", "arc-relay.service")
            for client in (a, b):
                assert await client.closed() == (1001, "relay stopping")
    assert await machine.show("arc-relay.service", "ActiveState") == "inactive"
    assert await machine.show("arc-relay.service", "Result") == "success"
    assert await machine.show("arc-relay.service", "ExecMainStatus") == "0"


async def test_sandbox(machine: ServiceMachine) -> None:
    """The relay runs as a user of its own, without a capability."""
    await machine.systemctl("start", "arc-relay.service")
    process = await machine.show("arc-relay.service", "MainPID")
    status = machine.container.do("cat", f"/proc/{process}/status")
    uid = re.search(r"^Uid:\s+(\d+)", status, re.MULTILINE)
    assert uid is not None
    assert 61184 <= int(uid[1]) <= 65519
    assert re.findall(r"^Cap.*:\s+(\w+)$", status, re.MULTILINE) == ["0" * 16] * 5


async def test_hung(machine: ServiceMachine) -> None:
    """The watchdog kills a relay that hangs, the log has the place, and another relay serves."""
    await machine.systemctl("start", "arc-relay.service")
    await machine.systemctl("kill", "--kill-whom=main", "--signal=STOP", "arc-relay.service")
    while await machine.show("arc-relay.service", "NRestarts") != "1":
        await trio.sleep(0.2)
    while await machine.show("arc-relay.service", "ActiveState") != "active":
        await trio.sleep(0.1)
    await expect_exchange(machine.container)
    journal = machine.journal("arc-relay.service")
    assert "Watchdog timeout" in journal
    assert "Fatal Python error: Aborted" in journal
    assert "relay/cli/start.py" in journal


async def test_wrong_setting(machine: ServiceMachine) -> None:
    """With an invalid setting the relay does not start, and logs the reason once."""
    machine.write("/etc/arc-relay/relay.env", "ARC_RELAY_PORT=many\n")
    try:
        assert machine.container.attempt("systemctl", "start", "arc-relay.service").returncode
        assert await machine.show("arc-relay.service", "ActiveState") == "failed"
        assert await machine.show("arc-relay.service", "NRestarts") == "0"
        assert "many" in machine.journal("arc-relay.service")
    finally:
        machine.container.do("rm", "/etc/arc-relay/relay.env")


async def test_restart_with_socket(machine: ServiceMachine) -> None:
    """During a restart clients connect all the time, none is refused, and all reach their peers."""
    await machine.systemctl("start", "arc-relay.socket")
    assert await machine.show("arc-relay.service", "ActiveState") == "inactive"
    await expect_exchange(machine.container)
    first = await machine.show("arc-relay.service", "MainPID")
    meetings: list[RetryingPair] = []
    restarted = trio.Event()

    async def keep_coming() -> None:
        async with trio.open_nursery() as nursery:
            while not restarted.is_set():
                meetings.append(RetryingPair(machine.container, f"code-{len(meetings)}"))
                nursery.start_soon(meetings[-1].run)
                await trio.sleep(0.02)

    async with (
        await join(machine.container, "held") as held,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(keep_coming)
        nursery.start_soon(held.closed)
        await trio.sleep(0.2)
        await machine.systemctl("restart", "arc-relay.service")
        await trio.sleep(0.2)
        restarted.set()
    assert await machine.show("arc-relay.service", "MainPID") not in {"0", first}
    assert len(meetings) > 20


async def test_instances(machine: ServiceMachine) -> None:
    """Several relays run side by side, each with its port and its file; one outlives the other."""
    machine.write("/etc/arc-relay/relay-8766.env", "ARC_RELAY_DRAIN_DELAY=0\n")
    await machine.systemctl("start", "arc-relay@8765.service", "arc-relay@8766.service")
    for port in (8765, 8766):
        await expect_exchange(machine.container, port)
        async with AnsweringClient(await machine.container.connect(port)) as client:
            assert (await client.upgrade("/?pair=%41")).status == 400
    async with await join(machine.container) as a, await join(machine.container) as b:
        await machine.systemctl("stop", "arc-relay@8766.service")
        await exchange(a, b)


async def test_instance_on_a_unix_socket(machine: ServiceMachine) -> None:
    """Edited as its comment says, the unit listens on a socket for the group of the proxy only."""
    await machine.apply_advice("arc-relay@.service")
    await machine.systemctl("start", "arc-relay@1.service")
    path = "/run/arc-relay/1/relay.sock"
    rights = machine.container.do("stat", "--format=%A %G", path, str(Path(path).parent))
    assert rights.splitlines() == ["srw-rw---- www-data", "drwxr-x--- www-data"]
    ask = ["/opt/arc-relay/bin/arc-relay", "health", f"unix:{path}"]
    for user, group, welcome in ("www-data", "www-data", True), ("nobody", "nogroup", False):
        become = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
        done = machine.container.attempt(*become, *ask)
        assert (done.returncode == 0) == welcome, done.stderr


async def test_token(machine: ServiceMachine) -> None:
    """Edited as its comment says, the relay has a protected token, and reloads it."""
    machine.write("/etc/arc-relay/token", "first\n")
    await machine.apply_advice("arc-relay.service")
    await machine.systemctl("start", "arc-relay.service")
    assert await statuses(machine, "another", "first") == [401, 101]
    machine.write("/etc/arc-relay/token", "second\n")
    await machine.systemctl("reload", "arc-relay.service")
    assert await statuses(machine, "first", "second") == [401, 101]


async def statuses(machine: ServiceMachine, *tokens: str) -> list[int]:
    """Return the response status of a new code with each of these tokens."""
    found = []
    for token in tokens:
        async with AnsweringClient(await machine.container.connect(PORT)) as client:
            response = await client.upgrade(f"/?pair={token}", authorization=f"Bearer {token}")
            found.append(response.status)
    return found
