"""Run a proxy with the shipped file, and change that file for a test."""

from __future__ import annotations

import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import trio

from .certificates import Certificate

__all__ = ["Proxy"]

SHIPPED = Path(__file__).parents[2] / "deploy" / "proxy"
PORT_OF_RELAY = "127.0.0.1:8765"
LIMIT = 20.0
"""Maximum number of seconds until a proxy has started or ended."""


class Proxy(ABC):
    """Proxy with its shipped file, and other ports and paths.

    ``ports`` are three free ports; clients connect to the first.
    """

    name: ClassVar[str]
    file: ClassVar[str]
    relay: ClassVar[str] = PORT_OF_RELAY
    """The part of the shipped line of a relay that each further relay replaces."""
    idle: ClassVar[Mapping[str, str]] = {}
    """Replacements that cut the idle limit of an hour to 2 s; empty if the proxy has no limit."""
    remembers: ClassVar[bool] = False
    """True if a code stays on the relay that first got it, although its hash moved."""
    learning: ClassVar[float] = 0.0
    """Seconds after the start in which the proxy must not be reloaded."""
    disturbed: ClassVar[float] = 0.0
    """Share of the codes that may move although their relay stays."""
    reload_signal: ClassVar[signal.Signals] = signal.SIGHUP

    def __init__(
        self, program: Path, directory: Path, certificate: Certificate, ports: Sequence[int]
    ) -> None:
        self.program = program
        self.directory = directory
        self.certificate = certificate
        self.port, self.second_port, self.third_port = ports
        self.config = directory / self.file
        self.changes: dict[str, str] = {}
        """Further parts of the shipped file to change."""
        self.output = directory / f"{self.name}.log"
        self.processes: list[subprocess.Popen[bytes]] = []

    @abstractmethod
    def substitutions(self) -> Mapping[str, str]:
        """Return the ports and paths of the shipped file, with their replacements."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that runs the proxy in the foreground."""

    def environment(self) -> Mapping[str, str]:
        """Return the additional environment variables of the proxy."""
        return {}

    def line(self, shipped: str, number: int, port: int) -> str:
        """Return the line of a relay, made from the shipped one."""
        return shipped.replace("8765", str(port))

    def write(self, relays: Sequence[int]) -> None:
        """Write the configuration for relays on these ports."""
        text = (SHIPPED / self.file).read_text()
        lines: list[str] = []
        for line in text.splitlines():
            if self.relay in line:
                lines += (self.line(line, number, port) for number, port in enumerate(relays, 1))
            else:
                lines.append(line)
        assert len(lines) == len(text.splitlines()) + len(relays) - 1, "not one line for a relay"
        text = "\n".join((*lines, ""))
        for shipped, here in {**self.substitutions(), **self.changes}.items():
            assert shipped in text, shipped
            text = text.replace(shipped, here)
        self.config.write_text(text)

    async def start(self, relays: Sequence[int]) -> None:
        """Start the proxy in front of relays on these ports; return when it accepts connections."""
        self.write(relays)
        self.launch(self.command())
        with trio.fail_after(LIMIT):
            while True:
                try:
                    await trio.aclose_forcefully(await trio.open_tcp_stream("127.0.0.1", self.port))
                except OSError:
                    assert self.processes[-1].poll() is None, self.output.read_text()
                    await trio.sleep(0.05)
                else:
                    return

    def launch(self, command: Sequence[str]) -> None:
        """Start a process of the proxy.

        This thread must start it: Envoy requests to be ended with the thread that started it, and
        trio would start it from a thread that ends.
        """
        with self.output.open("ab") as output:
            self.processes.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=os.environ | self.environment(),
                    cwd=self.directory,
                )
            )

    def reload(self, relays: Sequence[int]) -> None:
        """Reload the proxy for relays on these ports, as its operator would."""
        self.write(relays)
        self.processes[-1].send_signal(self.reload_signal)

    def logs(self) -> str:
        """Return the whole output of the proxy after its end."""
        return "".join(log.read_text() for log in self.directory.glob(f"{self.name}*.log"))

    def stop(self) -> None:
        """Stop the proxy, if it runs."""
        for process in self.processes:
            process.terminate()
        while self.processes:
            process = self.processes.pop()
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
