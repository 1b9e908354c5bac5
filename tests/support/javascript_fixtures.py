"""Fixtures of the tests of clients/arc-relay.mjs: a relay with TLS, and the runtimes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from relay.client import Link

from .browser import Browser
from .certificates import Certificate, authority
from .chromium import find_chromium
from .javascript_endpoints import BrowserRuntime, NodeRuntime, Runtime
from .node_ws import find_ws
from .ports import reserved_port
from .process import Program, run_program


class RestartedRelay:
    """Relay with TLS that can be killed and started again on its port."""

    def __init__(self, port: int, certificate: Certificate, folder: Path) -> None:
        self._options = ["--host", "127.0.0.1", "--port", str(port), *certificate.options]
        self._folder = folder
        self._restart = trio.Event()
        self._started = trio.Event()
        self.link = Link.new(f"wss://localhost:{port}/")
        self.program: Program

    def set_token(self, token: str) -> None:
        """Give the next relay a token."""
        path = self._folder / "token"
        path.write_text(token)
        self._options += ["--token-file", str(path)]

    async def run(self) -> None:
        """Run relays, one after the other, until cancelled."""
        while True:
            async with run_program(*self._options, log=self._folder / "log") as self.program:
                self._started.set()
                await self._restart.wait()
                self._restart = trio.Event()
                self.program.process.kill()
                await self.program.process.wait()

    async def wait(self) -> None:
        """Wait until the relay listens."""
        await self._started.wait()

    async def restart(self) -> None:
        """Kill the relay with SIGKILL, and wait until another one listens."""
        self._started = trio.Event()
        self._restart.set()
        await self._started.wait()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return the certificate of the relays."""
    return Certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
async def tls_relay(certificate: Certificate, tmp_path: Path) -> AsyncIterator[RestartedRelay]:
    """Return a relay."""
    with reserved_port() as port:
        relay = RestartedRelay(port, certificate, tmp_path)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay.run)
            await relay.wait()
            yield relay
            nursery.cancel_scope.cancel()


@pytest.fixture(scope="session")
def node(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> NodeRuntime:
    """Return Node with the package ws."""
    directory = find_ws(pytestconfig, tmp_path_factory)
    trusted = tmp_path_factory.mktemp("authority") / "authority.pem"
    authority().cert_pem.write_to_path(str(trusted))
    return NodeRuntime(directory, trusted)


@pytest.fixture(scope="session", params=["node", "chromium"])
def runtime(request: pytest.FixtureRequest, certificate: Certificate) -> Runtime:
    """Return each runtime that is installed."""
    if request.param == "node":
        found: Runtime = request.getfixturevalue("node")
        return found
    path = find_chromium()
    if path is None:
        pytest.skip("there is no Chromium")
    return BrowserRuntime(Browser(path, certificate.key_fingerprint))


def task(relay: RestartedRelay, role: str, program: str, **options: Any) -> dict[str, Any]:
    """Return a task of a JavaScript endpoint."""
    return {"link": relay.link.text, "role": role, "program": program, **options}
