"""Container with systemd as its first process, like a machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import trio

from .podman import Container, Podman

__all__ = ["Machine", "boot"]

# Where cgroups are of version 1, podman shows systemd those of the whole machine, and its own only
# to read. With those out of the way it may run containers, too. As on a machine, mounts are shared,
# which credentials of units need.
OWN_CGROUPS: Final = """
mount --make-rshared /
cd /sys/fs/cgroup && umount --quiet systemd/release_agent systemd
for each in */; do mount --options remount,bind,rw "$each"; done
exec /lib/systemd/systemd
"""
AS_A_MACHINE: Final = (
    "--systemd=always",
    "--cgroupns=private",
    "--cap-add=SYS_ADMIN,NET_ADMIN,SYS_PTRACE",
    "--security-opt=seccomp=unconfined",
    "--user=0",
    "--env=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
    '--entrypoint=["/bin/sh", "-c"]',
)


class Machine:
    """Container with systemd as its first process."""

    def __init__(self, container: Container) -> None:
        self.container = container

    async def systemctl(self, *arguments: str) -> str:
        """Return the output of systemctl, which must succeed, while other tasks run."""
        return await trio.to_thread.run_sync(self.container.do, "systemctl", *arguments)

    async def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return await self.systemctl("show", "--property", name, "--value", unit)

    def journal(self, unit: str) -> str:
        """Return the log of a unit."""
        return self.container.do("journalctl", "--output=cat", "--unit", unit)

    def write(self, path: str, text: str) -> None:
        """Write a file, and create its folder if it is missing."""
        program = "import pathlib, sys; path = pathlib.Path(sys.argv[1]);"
        program += "path.parent.mkdir(exist_ok=True); path.write_text(sys.argv[2])"
        self.container.do("python3", "-c", program, path, text)


@contextmanager
def boot(podman: Podman, image: str, *options: str | Path) -> Iterator[Container]:
    """Boot a machine from an image, and remove it in the end."""
    with podman.run(*AS_A_MACHINE, *options, image, OWN_CGROUPS) as container:
        deadline = time.monotonic() + 30
        while container.attempt("systemctl", "is-system-running").stdout != "running\n":
            assert time.monotonic() < deadline, container.attempt("systemctl", "--failed").stdout
            time.sleep(0.1)
        yield container
