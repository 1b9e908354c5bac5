"""The program in a process of its own, as users start it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

LISTENING = re.compile(rb"arc-relay listening on (.+) \(health at /health\)\n")
LOOPBACK = ("--host", "127.0.0.1", "--port", "0")
PROGRAM = (sys.executable, "-m", "relay")

# As systemd does it: the sockets from descriptor 3 on, and the number that the process will have.
LAUNCHER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""


class Program:
    """Relay that listens; ``out`` is its whole stdout, and its stderr goes to ``log``."""

    def __init__(self, process: trio.Process, log: Path) -> None:
        self.process = process
        self.log = log
        self.out = b""

    async def listen(self) -> None:
        """Wait until the relay prints its addresses."""
        with trio.fail_after(30):
            while not self.out.endswith(b"\n"):
                assert await self._read(), self.log.read_text()
        assert LISTENING.fullmatch(self.out), self.out

    @property
    def addresses(self) -> list[str]:
        """Addresses on which the relay listens, as its output names them."""
        found = LISTENING.match(self.out)
        assert found is not None
        return found[1].decode().split(", ")

    @property
    def port(self) -> int:
        """Port of the first TCP listener."""
        return next(int(place.rpartition(":")[2]) for place in self.addresses if "://" in place)

    async def _read(self) -> bytes:
        assert self.process.stdout is not None
        data = bytes(await self.process.stdout.receive_some())
        self.out += data
        return data

    async def line(self, *parts: str) -> str:
        """Wait for the first line of the log with all these parts, and return it."""
        with trio.fail_after(30):
            while True:
                for line in self.log.read_text().splitlines():
                    if all(part in line for part in parts):
                        return line
                await trio.sleep(0.01)

    async def metrics_port(self) -> int:
        """Return the port of the metrics listener, as the log has it."""
        line = await self.line("started")
        found = re.search(r"metrics\W+http://127\.0\.0\.1:(\d+)/metrics", line)
        assert found is not None, line
        return int(found[1])

    def expect_no_failure(self) -> None:
        """Fail if the log has an unexpected failure of a connection."""
        assert "a connection failed" not in self.log.read_text()

    async def wait(self) -> int:
        """Return the exit status, once the process has ended and its output is read."""
        with trio.fail_after(30):
            while await self._read():
                pass
            return await self.process.wait()


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of this process without settings of a relay, but with variables."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith("ARC_RELAY_")}
    return ours | dict(variables)


@asynccontextmanager
async def run_program(
    *options: str,
    log: Path,
    variables: Mapping[str, str] | None = None,
    inherited: socket.socket | None = None,
) -> AsyncIterator[Program]:
    """Run ``start`` with these options, on an inherited socket, if there is one.

    SIGTERM must end the program with status 0, unless it has ended before.
    """
    command = [*PROGRAM, "start", *options]
    descriptors: Sequence[int] = ()
    if inherited is not None:
        descriptors = (inherited.fileno(),)
        launch = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(inherited.fileno())]
        command = [*launch, *command]
    with log.open("wb") as output:
        process = await trio.lowlevel.open_process(
            command,
            stdout=subprocess.PIPE,
            stderr=output,
            env=clean_environment(variables or {}),
            pass_fds=descriptors,
        )
    assert process.stdout is not None
    program = Program(process, log)
    try:
        await program.listen()
        yield program
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert await program.wait() == 0
    finally:
        if process.poll() is None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
        await process.stdout.aclose()
    program.expect_no_failure()


async def run_to_end(
    *arguments: str, variables: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Run the program with arguments; return its status, stdout and stderr."""
    with trio.fail_after(30):
        done = await trio.run_process(
            [*PROGRAM, *arguments],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=clean_environment(variables or {}),
        )
    return done.returncode, done.stdout.decode(), done.stderr.decode()
