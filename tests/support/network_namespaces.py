"""Two network namespaces, near and far, and a link between them that can fail.

A failed link drops packets without a notice, like the network of a phone without reception. The
tests require root and the programs `ip` and `nft`, and are skipped without them.
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
        """Create the namespaces; the stack removes them."""
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
        """Drop all further packets to and from the far side."""
        run("ip", "netns", "exec", self.far, "nft", "-f", "-", text=DEAD)

    def recover(self) -> None:
        """Forward packets again."""
        run("ip", "netns", "exec", self.far, "nft", "delete", "table", "inet", "dead")

    def socket(self, namespace: str) -> trio.socket.SocketType:
        """Return a TCP socket that belongs to a namespace."""
        with inside(namespace):
            return trio.socket.socket()


def run(*command: str, text: str = "") -> None:
    """Run a program, which must succeed."""
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    assert done.returncode == 0, (command, done.stderr)


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Move this thread to a network namespace during a block, in which no task may wait."""
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
    """Create two namespaces for a test, and remove them in any case."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces take root")
    for program in ("ip", "nft"):
        if shutil.which(program) is None:
            pytest.skip(f"network namespaces take the program {program}")
    with ExitStack() as stack:
        yield Namespaces(stack)


class NearRelay(RealTimeRelay):
    """Relay in the near namespace, with clients in both."""

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
    """Run a relay in the near namespace; it must be empty once its clients have left."""
    sock = namespaces.socket(namespaces.near)
    await sock.bind((NEAR_ADDRESS, 0))
    sock.listen()
    relay = NearRelay(namespaces)
    serve = partial(serve_relay, listeners=[trio.SocketListener(sock)], settings=settings)
    relay.handle = await nursery.start(serve)
    yield relay
    await relay.end()
