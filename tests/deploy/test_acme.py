"""Caddy requests its certificate from an authority, which is another Caddy.

Both run in a network namespace with the ports and names of the shipped file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.network_namespaces import run

from .certificates import HOST
from .names import knowing, probe
from .programs import find_program
from .proxy import LIMIT, SHIPPED

pytestmark = pytest.mark.deploy

DIRECTORY = "https://authority.example:9443/acme/local/directory"
AUTHORITY = """
{
    admin off
    skip_install_trust
    auto_https disable_redirects
}
https://authority.example:9443 {
    tls internal
    acme_server
}
"""


class Island:
    """Network namespace with only a loopback interface, and its processes."""

    def __init__(self, network: str, directory: Path) -> None:
        self.before = ("ip", "netns", "exec", network)
        self.directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *command: str) -> Path:
        """Start a program, and return its home directory."""
        home = self.directory / name
        home.mkdir()
        homes = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(home))
        with (home / "log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(
                    [*self.before, *knowing(self.directory, *command)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=os.environ | homes,
                )
            )
        return home

    def caddy(self, name: str, text: str) -> Path:
        """Start Caddy with a configuration, and return its home."""
        config = self.directory / f"{name}.caddyfile"
        config.write_text(text)
        program = str(find_program("caddy"))
        return self.start(name, program, "run", "--adapter=caddyfile", f"--config={config}")

    def stop(self) -> None:
        """Stop the processes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(LIMIT)


@pytest.fixture
def island(tmp_path: Path) -> Iterator[Island]:
    """Create a network namespace, and remove it with all its processes."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("NOT TESTED: a network namespace takes root, and the program ip")
    network = f"arc-relay-{os.getpid()}-acme"
    run("ip", "netns", "add", network)
    island = Island(network, tmp_path)
    try:
        run("ip", "-n", network, "link", "set", "lo", "up")
        yield island
    finally:
        island.stop()
        run("ip", "netns", "del", network)


def wait_until(condition: Callable[[], object], home: Path) -> None:
    """Wait for an effect of a program, whose log is in its home."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, (home / "log").read_text()
        time.sleep(0.05)


def test_certificate(island: Island) -> None:
    """With the shipped file, and the address of the authority, a probe soon succeeds."""
    start = (sys.executable, "-m", "relay", "start", "--host=127.0.0.1")
    relay = island.start("relay", *start, "--trusted-proxies=127.0.0.1")
    wait_until(lambda: "listening on" in (relay / "log").read_text(), relay)

    authority = island.caddy("authority", AUTHORITY)
    root = authority / "caddy/pki/authorities/local/root.crt"
    # Caddy retries only after a minute, so the authority must be ready before the site starts.
    wait_until(
        lambda: "serving initial configuration" in (authority / "log").read_text(), authority
    )

    text = (SHIPPED / "Caddyfile").read_text()
    text = text.replace("/var/log/caddy/", f"{island.directory}/access-")
    whom = f"{{\n\tacme_ca {DIRECTORY}\n\tacme_ca_root {root}\n"
    assert "\n\n{\n" in text
    site = island.caddy("site", text.replace("\n\n{\n", f"\n\n{whom}", 1))
    certificate = f"caddy/certificates/*/{HOST}/{HOST}.crt"
    wait_until(lambda: any(site.glob(certificate)), site)
    done = probe(f"wss://{HOST}/", root, island.directory, island.before)
    assert done.returncode == 0, done.stdout + done.stderr
