"""Relays behind a proxy, each in a process of its own, on a fixed port.

The relay of a client is read from the log of the relays, which have the client address that the
proxy forwarded. So every client connects from an address of its own.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from tests.support.raw_client import Client

__all__ = ["Fleet", "Relay", "free_ports"]

OPTIONS = ("--strict-codes", "--trusted-proxies", "127.0.0.1", "--log-addresses", "full")
PROXY = "127.0.0.1"
"""Address from which the proxies connect."""
START_TIME = 20.0
FIRST_PORT = 18700
CLIENTS = re.compile(r"\bclient_a=(\S+)(?: client_b=(\S+))?")
"""End of the log line of a pair or a waiting side that has ended."""


def free_ports(count: int) -> list[int]:
    """Return ports that no process listens on.

    They are below the range of client ports, so that a relay finds its port free after a restart.
    They are the same in each run if possible, because the hashes of the proxies depend on them.
    """
    found: list[int] = []
    port = FIRST_PORT
    while len(found) < count:
        port += 1
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((PROXY, port))
            except OSError:
                continue
        found.append(port)
    return found


@dataclass
class Relay:
    """One relay, which can end and start again on its port."""

    port: int
    log: Path
    options: Sequence[str]
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    async def start(self) -> None:
        """Start the relay; return when it is healthy."""
        self.launch()
        with trio.fail_after(START_TIME):
            while not await self.healthy():
                assert self.process is not None
                assert self.process.poll() is None, self.log.read_text()
                await trio.sleep(0.05)

    def launch(self) -> None:
        """Start the relay."""
        command = [sys.executable, "-m", "relay", "start", "--host", PROXY, "--port"]
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ARC_RELAY_")
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, str(self.port), *self.options],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment,
            )

    async def healthy(self) -> bool:
        """Return True if the relay is healthy."""
        try:
            async with Client(await trio.open_tcp_stream(PROXY, self.port)) as client:
                return (await client.get("/health")).status == 200
        except (OSError, trio.BrokenResourceError, trio.EndOfChannel):
            return False

    def drain(self) -> None:
        """Tell the relay to stop."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Return the exit status of the relay."""
        assert self.process is not None
        while (status := self.process.poll()) is None:
            await trio.sleep(0.05)
        return status

    def kill(self) -> None:
        """Kill the relay, if it runs, like a crash."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def clients(self) -> set[str]:
        """Return the addresses of the clients whose pair, or whose wait, has ended."""
        text = self.log.read_text()
        return {each for found in CLIENTS.finditer(text) for each in found.groups() if each}


class Fleet:
    """Several relays."""

    def __init__(self, directory: Path, options: Sequence[str] = ()) -> None:
        self.relays: list[Relay] = []
        self._directory = directory
        self._options = (*OPTIONS, *options)

    async def add(self, ports: Iterable[int]) -> None:
        """Start relays on these ports concurrently."""
        async with trio.open_nursery() as nursery:
            for port in ports:
                log = self._directory / f"relay-{port}.log"
                relay = Relay(port, log, self._options)
                self.relays.append(relay)
                nursery.start_soon(relay.start)

    @property
    def ports(self) -> list[int]:
        """Ports of the relays, in the order of their start."""
        return [relay.port for relay in self.relays]

    async def whereabouts(self, addresses: Iterable[str]) -> dict[str, Relay]:
        """Return the relay of each of these clients, which have left."""
        wanted = set(addresses)
        with trio.fail_after(10):
            while True:
                found = {
                    address: relay for relay in self.relays for address in relay.clients() & wanted
                }
                if len(found) == len(wanted):
                    return found
                await trio.sleep(0.1)

    def kill(self) -> None:
        """Kill every relay."""
        for relay in self.relays:
            relay.kill()
