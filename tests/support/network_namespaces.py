"""Two network namespaces, near and far, and a line between them that can go dead.

A packet on a dead line is dropped without a word, as where a phone has lost its network. It takes
root, and the programs `ip` and `nft`; where those are missing, tests are skipped, and say so.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import trio

from relay import RelaySettings, serve_relay

from .raw_client import Client
from .relay_fixtures import RealTimeRelay

NEAR_ADDRESS: Final = "10.213.0.1"
FAR_ADDRESS: Final = "10.213.0.2"

DEAD: Final = """
table inet dead {
    chain in { type filter hook input priority 0; policy drop; }
    chain out { type filter hook output priority 0; policy drop; }
}
"""

CLONE_NEWNET: Final = 0x40000000  # of linux/sched.h; os.setns is there from Python 3.12 on


class Namespaces:
    """Two namespaces, until they are closed; ``near`` and ``far`` are their names."""

    def __init__(self, stack: ExitStack) -> None:
        """Make them; what removes them again goes on the stack."""
        name = f"arc-relay-{os.getpid()}"
        self.near, self.far = f"{name}-near", f"{name}-far"
        for namespace in (self.near, self.far):
            run("ip", "netns", "add", namespace)
            stack.callback(run, "ip", "netns", "del", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        peer = ("peer", "name", "line", "netns", self.far)
        run("ip", "-n", self.near, "link", "add", "line", "type", "veth", *peer)
        stack.callback(run, "ip", "-n", self.near, "link", "del", "line")
        for namespace, address in ((self.near, NEAR_ADDRESS), (self.far, FAR_ADDRESS)):
            run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", "line")
            run("ip", "-n", namespace, "link", "set", "line", "up")

    def go_dead(self) -> None:
        """Drop from now on whatever the far side sends, or is sent."""
        run("ip", "netns", "exec", self.far, "nft", "-f", "-", text=DEAD)

    def socket(self, namespace: str) -> trio.socket.SocketType:
        """Return a TCP socket that is in a namespace, and stays there."""
        with inside(namespace):
            return trio.socket.socket()


def run(*command: str, text: str = "") -> None:
    """Run a program, which must succeed."""
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    assert done.returncode == 0, (command, done.stderr)


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Have this thread in a network namespace for a while, in which nothing may wait."""
    libc = ctypes.CDLL(None, use_errno=True)
    own, other = Path("/proc/thread-self/ns/net"), Path("/run/netns") / namespace
    with own.open("rb") as back, other.open("rb") as there:
        assert libc.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(back.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


@pytest.fixture
def namespaces() -> Iterator[Namespaces]:
    """Make two namespaces for a test, and remove them, whatever happens."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces take root")
    for program in ("ip", "nft"):
        if shutil.which(program) is None:
            pytest.skip(f"network namespaces take the program {program}")
    with ExitStack() as stack:
        yield Namespaces(stack)


class NearRelay(RealTimeRelay):
    """A relay in the near namespace, with clients in both."""

    def __init__(self, namespaces: Namespaces) -> None:
        super().__init__()
        self.namespaces = namespaces
        self._from = namespaces.near

    async def open_stream(self, *, lockstep: bool = False) -> trio.abc.Stream:
        assert not lockstep
        sock = self.namespaces.socket(self._from)
        await sock.connect((NEAR_ADDRESS, self.handle.port))
        return trio.SocketStream(sock)

    async def join_far(self, code: str) -> Client:
        """Return a client in the far namespace that has joined."""
        self._from = self.namespaces.far
        try:
            return await self.join(code)
        finally:
            self._from = self.namespaces.near


@pytest.fixture
async def near_relay(
    namespaces: Namespaces, settings: RelaySettings, nursery: trio.Nursery, time_limit: None
) -> AsyncIterator[NearRelay]:
    """Run a relay in the near namespace; once its clients are gone it must be empty by itself."""
    sock = namespaces.socket(namespaces.near)
    await sock.bind((NEAR_ADDRESS, 0))
    sock.listen()
    relay = NearRelay(namespaces)
    serve = partial(serve_relay, listeners=[trio.SocketListener(sock)], settings=settings)
    relay.handle = await nursery.start(serve)
    yield relay
    await relay.end()
