"""The commands share, pipe and forward as processes, around a relay."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from .process import PROGRAM, clean_environment

TIME_LIMIT = 30.0


class Running:
    """Process of a command, and its standard error in a file."""

    def __init__(self, process: trio.Process, log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def text(self) -> str:
        """Standard error so far."""
        return self.log.read_text()

    async def line(self, part: str) -> str:
        """Wait for a line of standard error with a text, and return it."""
        with trio.fail_after(TIME_LIMIT):
            while True:
                for line in self.text.splitlines():
                    if part in line:
                        return line
                assert self.process.poll() is None, self.text
                await trio.sleep(0.02)

    async def wait(self) -> int:
        """Return the exit status."""
        with trio.fail_after(TIME_LIMIT):
            return await self.process.wait()


@asynccontextmanager
async def run_command(
    log: Path,
    *arguments: str | Path,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    variables: Mapping[str, str] | None = None,
) -> AsyncIterator[Running]:
    """Run a command; SIGTERM ends it, unless it has ended."""
    with log.open("wb") as errors:
        process = await trio.lowlevel.open_process(
            [*PROGRAM, *map(str, arguments)],
            stdin=stdin,
            stdout=stdout,
            stderr=errors,
            env=clean_environment(variables or {}),
        )
    running = Running(process, log)
    try:
        yield running
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert await running.wait() == 128 + signal.SIGTERM, running.text
    finally:
        if process.poll() is None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                await stream.aclose()
    assert "fault of the program" not in running.text, running.text


@asynccontextmanager
async def share(
    folder: Path,
    port: int,
    *target: str | Path,
    name: str = "share",
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    variables: Mapping[str, str] | None = None,
) -> AsyncIterator[Running]:
    """Share a target through a relay on a port; the link is in the file ``link``."""
    options = ("--link-file", folder / "link", "--via", f"ws://127.0.0.1:{port}/")
    log = folder / f"{name}.log"
    async with run_command(
        log, "share", *options, *target, stdin=stdin, stdout=stdout, variables=variables
    ) as running:
        await running.line("waiting for guests")
        yield running
