"""Link between two network namespaces that delays, loses and reorders IP packets.

Each namespace has a TUN device, and a task moves the packets between the two. So the link needs no
traffic control in the kernel, only root and the program `ip`.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from random import Random
from typing import Final

import trio

from tests.support.network_namespaces import inside

from .history import History
from .plan import ClientPlan, Plan
from .run import run_on
from .sockets import SocketNetwork

TUNSETIFF: Final = 0x400454CA  # of linux/if_tun.h
IFF_TUN_NO_PI: Final = 0x1001

SUBNET: Final = "10.214.0"
RELAY: Final = f"{SUBNET}.1"
PACKETS: Final = 64
"""Number of packets that are read until other tasks run."""


@dataclass
class Link:
    """Properties of a link, which may change at any time."""

    delay: float = 0.0
    """Seconds that a packet takes."""
    loss: float = 0.0
    """Share of the packets that are lost."""
    reorder: float = 0.0
    """Share of the packets that take twice the delay, so that later packets overtake them."""
    rng: Random = field(default_factory=lambda: Random(0))
    dead: set[str] = field(default_factory=set)
    """Addresses to and from which all packets are lost."""
    lost: int = 0
    reordered: int = 0

    async def move(self, source: int, sink: int) -> None:
        """Move packets in one direction until cancelled."""
        due_packets, waiting = trio.open_memory_channel[tuple[float, bytes]](10_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver, waiting, sink)
            while True:
                await trio.lowlevel.wait_readable(source)
                for _ in range(PACKETS):
                    try:
                        packet = os.read(source, 65536)
                    except BlockingIOError:
                        break
                    if self._is_lost(packet):
                        self.lost += 1
                    elif self.rng.random() < self.reorder:
                        self.reordered += 1
                        nursery.start_soon(self._deliver_late, packet, sink)
                    else:
                        await due_packets.send((trio.current_time() + self.delay, packet))

    def _is_lost(self, packet: bytes) -> bool:
        addresses = {str(IPv4Address(packet[start : start + 4])) for start in (12, 16)}
        return bool(addresses & self.dead) or self.rng.random() < self.loss

    async def _deliver(
        self, waiting: trio.MemoryReceiveChannel[tuple[float, bytes]], sink: int
    ) -> None:
        async for due, packet in waiting:
            await trio.sleep_until(due)
            write_packet(sink, packet)

    async def _deliver_late(self, packet: bytes, sink: int) -> None:
        await trio.sleep(2 * self.delay)
        write_packet(sink, packet)


def write_packet(sink: int, packet: bytes) -> None:
    """Write a packet to a device, unless the device refuses it: then it is lost."""
    if packet[0] >> 4 == 4:  # the kernel also sends IPv6 packets of its own
        os.write(sink, packet)


def ip(*arguments: str) -> None:
    """Run the program ip, which must succeed."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)  # noqa: S607


def open_device(stack: ExitStack, namespace: str, *addresses: str) -> int:
    """Create a namespace with a TUN device; return the descriptor of the device."""
    ip("netns", "add", namespace)
    stack.callback(ip, "netns", "del", namespace)
    with inside(namespace):
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        stack.callback(os.close, device)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN_NO_PI))
    for address in addresses:
        ip("-n", namespace, "address", "add", f"{address}/16", "dev", "tun0")
    ip("-n", namespace, "link", "set", "tun0", "up")
    return device


def address_of(client: ClientPlan) -> str:
    """Return the address of a client, which no other client has."""
    high, low = divmod(client.index + 10, 256)
    return f"10.214.{high}.{low}"


@asynccontextmanager
async def open_link(plan: Plan, link: Link) -> AsyncIterator[SocketNetwork]:
    """Open a network whose clients reach the relay only by the link.

    A client that vanishes loses all packets from then on.
    """
    near, far = (f"simulation-{os.getpid()}-{end}" for end in ("near", "far"))
    with ExitStack() as stack:
        near_device = open_device(stack, near, RELAY)
        far_device = open_device(stack, far, *map(address_of, plan.clients))
        with inside(near):
            listening = trio.socket.socket()
        await listening.bind((RELAY, 0))
        listening.listen(1000)
        relay_address = listening.getsockname()

        async def dial(client: ClientPlan) -> trio.abc.Stream:
            with inside(far):
                sock = trio.socket.socket()
            await sock.bind((address_of(client), 0))
            await sock.connect(relay_address)
            return trio.SocketStream(sock)

        network = SocketNetwork([trio.SocketListener(listening)], dial)
        network.vanish = lambda client: link.dead.add(address_of(client))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.move, near_device, far_device)
            nursery.start_soon(link.move, far_device, near_device)
            try:
                yield network
            finally:
                await network.aclose()
                nursery.cancel_scope.cancel()


async def run_on_link(plan: Plan, link: Link) -> History:
    """Run a plan over a link."""
    async with open_link(plan, link) as network:
        return await run_on(plan, network)
