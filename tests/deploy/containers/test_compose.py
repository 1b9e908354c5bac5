"""File for compose."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from .building import ROOT
from .clients import AnsweringClient, exchange, upgraded
from .podman import Podman

FILE = ROOT / "deploy" / "compose.yaml"


class Compose:
    """podman-compose with the shipped file, for an image and a port."""

    def __init__(self, program: str, podman: Podman, image: str, port: int, folder: Path) -> None:
        self._command = [program, "-p", f"arc-relay-{os.getpid()}", "-f", str(FILE)]
        shutil.copy(ROOT / "deploy" / "arc-relay.env.example", folder / "relay.env")
        ours = {"RELAY_IMAGE": image, "RELAY_PORT": str(port), "RELAY_FOLDER": str(folder)}
        self._environment = podman.environment | ours
        self.port = port

    def __call__(self, *arguments: str) -> str:
        """Return the output for arguments; the command must succeed."""
        done = subprocess.run(
            [*self._command, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def join(self) -> AnsweringClient:
        """Return a client that has joined."""
        return await upgraded(await trio.open_tcp_stream("127.0.0.1", self.port))


@pytest.fixture
def compose(podman_compose: str, podman: Podman, image: str, tmp_path: Path) -> Iterator[Compose]:
    """Return podman-compose, and remove its containers at the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    compose = Compose(podman_compose, podman, image, port, tmp_path)
    yield compose
    compose("down", "--volumes")


async def test_life(compose: Compose, podman: Podman, time_limit: None) -> None:
    """The relay alone is restricted and healthy, forwards, and closes its sides at a stop."""
    compose("up", "--detach", "--no-build", "relay")
    name = compose("ps", "--quiet").strip()
    host = podman.inspect(name)["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert "no-new-privileges" in host["SecurityOpt"]
    assert podman.inspect(name)["EffectiveCaps"] in (None, [])
    with trio.fail_after(20):
        while podman.attempt("healthcheck", "run", name).returncode:
            await trio.sleep(0.1)
    async with await compose.join() as a, await compose.join() as b:
        await exchange(a, b)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, compose, "stop")
            for client in (a, b):
                assert await client.closed() == (1001, "relay stopping")
    assert podman.inspect(name)["State"]["ExitCode"] == 0
