"""The unit of `arc-relay share --systemd`, under systemd in a container."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
import trio

from .building import AUTHORITIES, ROOT, pip_mounts, run
from .http_proxy import forward_proxy
from .machine import Machine, boot
from .podman import Podman

PROGRAM: Final = "/opt/share/bin/arc-relay"
UNIT: Final = "arc-relay-share.service"
STATE_LINK: Final = "/var/lib/arc-relay-share/link"
TOKEN: Final = "token-of-the-relay"  # noqa: S105 - of this test
TOKEN_FILE: Final = "/srv/token"  # noqa: S105 - a path
# systemd-run returns when the relay listens.
RELAY: Final = (
    "systemd-run --unit=relay --property=Type=notify"
    f" {PROGRAM} start --host 127.0.0.1 --token-file {TOKEN_FILE}"
)
TARGET_PORT: Final = 7000
TARGET: Final = f"systemd-run python3 -m http.server --bind 127.0.0.1 {TARGET_PORT}"
REQUEST: Final = "GET /of-the-guest HTTP/1.0"
GUEST: Final = f"printf '{REQUEST}\\r\\n\\r\\n' | timeout 30 {PROGRAM} pipe --quiet @/srv/link"


@pytest.fixture
def machine(podman: Podman, image: str, tmp_path: Path) -> Iterator[Machine]:
    """Boot a machine, and install the wheel with the extra `client`."""
    run(
        sys.executable,
        *("-m", "pip", "wheel", "--quiet", "--no-deps"),
        *("--wheel-dir", str(tmp_path), str(ROOT)),
    )
    (wheel,) = tmp_path.glob("*.whl")
    mounts = (*pip_mounts(tmp_path), f"--volume={wheel}:/srv/{wheel.name}:ro")
    with boot(podman, image, *mounts) as container, forward_proxy(container.process) as proxy:
        container.do("python3", "-m", "venv", "/opt/share")
        install = f"/opt/share/bin/pip install --quiet --proxy {proxy} --cert {AUTHORITIES}"
        container.do(*install.split(), f"/srv/{wheel.name}[client]")
        yield Machine(container)


async def reach(machine: Machine) -> None:
    """Reach the target as a guest with a copy of the link."""
    machine.container.do("install", "--mode=600", STATE_LINK, "/srv/link")
    done = await trio.to_thread.run_sync(machine.container.attempt, "sh", "-c", GUEST)
    assert (done.returncode, done.stderr) == (0, "")
    assert " 404 " in done.stdout


async def wait_for_port(machine: Machine, port: int) -> None:
    """Wait until a program in the machine listens on a port."""
    with trio.fail_after(20):
        while True:
            with suppress(OSError):
                async with await machine.container.connect(port):
                    return
            await trio.sleep(0.1)


async def link_of(machine: Machine) -> str:
    """Return the link of the unit, once it has made one."""
    with trio.fail_after(20):
        # The file is empty for a moment.
        while not (link := machine.container.attempt("cat", STATE_LINK).stdout.strip()):
            await trio.sleep(0.1)
    return link


async def test_unit(machine: Machine, time_limit: None) -> None:
    """Guests reach the target, also after restarts. The link stays, and no log has a secret."""
    container = machine.container
    container.do("sh", "-c", f"umask 077; echo {TOKEN} >{TOKEN_FILE}")
    container.do(*RELAY.split())
    container.do(*TARGET.split())
    await wait_for_port(machine, TARGET_PORT)
    share = f"share {TARGET_PORT} --via ws://127.0.0.1:8765/ --token-file {TOKEN_FILE} --systemd"
    machine.write(f"/etc/systemd/system/{UNIT}", container.do(PROGRAM, *share.split()))
    done = container.attempt("systemd-analyze", "verify", UNIT)
    assert (done.returncode, done.stderr) == (0, "")

    await machine.systemctl("daemon-reload")
    await machine.systemctl("enable", "--now", UNIT)
    link = await link_of(machine)
    await reach(machine)
    await machine.systemctl("restart", "relay.service")
    await reach(machine)
    await machine.systemctl("restart", UNIT)
    await reach(machine)
    assert await link_of(machine) == link

    await machine.systemctl("stop", UNIT)
    assert await machine.show(UNIT, "Result") == "success"
    code, _, key = link.partition("?pair=")[2].partition("#k=")
    journal = container.do("journalctl", "--output=cat", "--unit=relay", f"--unit={UNIT}")
    assert "waiting for guests" in journal
    assert [secret for secret in (code, key, TOKEN, REQUEST) if secret in journal] == []
