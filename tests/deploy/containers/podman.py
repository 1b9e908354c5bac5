"""Podman, and containers with networks of their own."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import trio

# What works in a container itself, too: without a right to raise limits, and on any cgroups.
SETTINGS: Final = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
"""
CLONE_NEWNET: Final = 0x40000000


class Podman:
    """Podman with its own configuration in a folder."""

    def __init__(self, folder: Path) -> None:
        self.settings = folder / "containers.conf"
        self.settings.write_text(SETTINGS)
        self.environment = {**os.environ, "CONTAINERS_CONF": str(self.settings)}

    def __call__(self, *arguments: str | Path) -> str:
        """Return the output of podman, which must succeed."""
        done = self.attempt(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def attempt(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Return the completed process of podman."""
        return subprocess.run(
            ["podman", *arguments],  # noqa: S607
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def inspect(self, name: str) -> dict[str, Any]:
        """Return the data of podman about an image or a container."""
        (found,) = json.loads(self("inspect", name))
        assert isinstance(found, dict)
        return found

    @contextmanager
    def run(self, *arguments: str | Path) -> Iterator[Container]:
        """Start a container with a network of its own, and remove it in the end."""
        container = Container(self, self("run", "--detach", "--network=none", *arguments))
        try:
            yield container
        finally:
            self("rm", "--force", "--time=0", "--volumes", container.name)


class Container:
    """Running container."""

    def __init__(self, podman: Podman, name: str) -> None:
        self.podman = podman
        self.name = name
        self.process = int(self.state()["Pid"])

    def state(self) -> dict[str, Any]:
        """Return the state of the container."""
        state = self.podman.inspect(self.name)["State"]
        assert isinstance(state, dict)
        return state

    def attempt(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Return the completed process of a command in the container."""
        return self.podman.attempt("exec", self.name, *command)

    def do(self, *command: str) -> str:
        """Return the output of a command in the container, which must succeed."""
        return self.podman("exec", self.name, *command)

    async def stop(self) -> None:
        """Stop the container with its stop signal."""
        await trio.to_thread.run_sync(self.podman, "stop", self.name)

    async def connect(self, port: int) -> trio.SocketStream:
        """Return a connection from inside the network of the container."""
        with network_of(self.process):
            sock = trio.socket.socket()
        try:
            await sock.connect(("127.0.0.1", port))
        except OSError:
            sock.close()
            raise
        return trio.SocketStream(sock)


@contextmanager
def network_of(process: int) -> Iterator[None]:
    """Create sockets in the network of another process during a block."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as ours:
        enter(libc, Path(f"/proc/{process}/ns/net"))
        try:
            yield
        finally:
            assert libc.setns(ours.fileno(), CLONE_NEWNET) == 0


def enter(libc: ctypes.CDLL, network: Path) -> None:
    """Move this thread to a network."""
    with network.open() as theirs:
        assert libc.setns(theirs.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
