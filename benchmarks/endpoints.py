"""Command `python -m benchmarks.endpoints`: the endpoints beside ssh, and beside plain messages.

It measures the rate of `share -` and `pipe` through a relay, and the round trip of one byte through
ssh. For comparison, two programs with `websockets` send the same bytes without encryption through
the same relay, and ssh transfers them without a relay. The rounds alternate.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from websockets.asyncio.client import connect

RELAY = (sys.executable, "-m", "relay")
MESSAGE = 64_000
ROUND_TRIPS = 200
START_SECONDS = 20.0


def main() -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endpoints", description=__doc__)
    parser.add_argument("--mib", type=int, default=512, help="size of a transfer in MiB (512)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    options = parser.parse_args()
    console = Console()
    with TemporaryDirectory() as folder, ExitStack() as stack:
        bench = Bench(Path(folder), stack, options.mib * 2**20)
        rows = [bench.share_and_pipe, bench.plain_messages]
        trips: list[Callable[[], float]] = []
        if bench.has_ssh:
            rows.append(bench.ssh)
            trips = [bench.trip_through_pipe, bench.trip_by_ssh]
        samples: dict[str, list[float]] = {row.__name__: [] for row in (*rows, *trips)}
        for _ in range(options.rounds):
            for row in (*rows, *trips):
                samples[row.__name__].append(row())
        first = statistics.median(samples[rows[0].__name__])
        for row in rows:
            rate = statistics.median(samples[row.__name__])
            console.print(f"{row.__name__}: {rate / 1e6:.0f} MB/s ({first / rate:.2f})")
        for trip in trips:
            median = statistics.median(samples[trip.__name__])
            console.print(f"{trip.__name__}: {median * 1e3:.2f} ms")
        console.print("a ratio in brackets is the rate of share and pipe, as a part of this rate")
    return 0


class Bench:
    """A relay, and an ssh server if there is one, for the time of ``stack``."""

    def __init__(self, folder: Path, stack: ExitStack, size: int) -> None:
        self._folder = folder
        self._size = size
        self._data = folder / "data"
        with self._data.open("wb") as file:
            for _ in range(size // 2**20):
                file.write(os.urandom(2**20))
        self._port = stack.enter_context(run_relay(folder / "relay.log"))
        self._links = 0
        server = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        self.has_ssh = server is not None and shutil.which("ssh") is not None
        if server is not None and self.has_ssh:
            self._ssh_port = stack.enter_context(run_sshd(server, folder))
            self._ssh_link = stack.enter_context(self._shared(f":{self._ssh_port}"))

    def share_and_pipe(self) -> float:
        """Return the rate of `share -` and `pipe` in bytes per second."""
        link = self._new_link()
        with self._data.open("rb") as file, running(*self._share("-", link), stdin=file):
            wait_for(link)
            return self._rate((*RELAY, "pipe", "--quiet", f"@{link}"), subprocess.DEVNULL)

    def plain_messages(self) -> float:
        """Return the rate of messages without encryption in bytes per second."""
        url = f"ws://127.0.0.1:{self._port}/?pair=plain-{time.monotonic_ns()}"
        script = (sys.executable, "-m", "benchmarks.endpoints_plain", url, str(self._data))
        with running(*script):
            began = time.perf_counter()
            asyncio.run(receive(url, self._size))
            return self._size / (time.perf_counter() - began)

    def ssh(self) -> float:
        """Return the rate of ssh without a relay in bytes per second."""
        return self._rate((*self._ssh(), "cat", str(self._data)), subprocess.DEVNULL)

    def trip_through_pipe(self) -> float:
        """Return the median round trip in seconds through ssh over `pipe`."""
        proxy = f"{' '.join(RELAY)} pipe --quiet @{self._ssh_link}"
        return round_trip((*self._ssh("-o", f"ProxyCommand={proxy}"), "cat"))

    def trip_by_ssh(self) -> float:
        """Return the median round trip in seconds through ssh without a relay."""
        return round_trip((*self._ssh(), "cat"))

    def _new_link(self) -> Path:
        self._links += 1
        return self._folder / f"link-{self._links}"

    def _share(self, target: str, link: Path) -> Sequence[str]:
        via = ("--via", f"ws://127.0.0.1:{self._port}/", "--link-file", str(link), "--quiet")
        return (*RELAY, "share", *via, target)

    @contextmanager
    def _shared(self, target: str) -> Iterator[Path]:
        """Share a target during the block; return the file with the link."""
        link = self._new_link()
        with running(*self._share(target, link)):
            wait_for(link)
            yield link

    def _ssh(self, *options: str) -> Sequence[str]:
        known = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
        key = ("-i", str(self._folder / "user"), "-o", "LogLevel=ERROR")
        return ("ssh", *known, *key, *options, "-p", str(self._ssh_port), "127.0.0.1")

    def _rate(self, command: Sequence[str], output: int) -> float:
        began = time.perf_counter()
        subprocess.run(  # noqa: S603 - the relay, or ssh
            command, stdin=subprocess.DEVNULL, stdout=output, check=True, timeout=300
        )
        return self._size / (time.perf_counter() - began)


async def receive(url: str, size: int) -> None:
    """Receive messages of this size in all."""
    async with connect(url, compression=None, max_queue=16) as websocket:
        while size > 0:
            size -= len(await websocket.recv())


def round_trip(command: Sequence[str]) -> float:
    """Return the median time in seconds in which a command echoes one byte."""
    times = []
    ours, theirs = socket.socketpair()
    with subprocess.Popen(command, stdin=theirs.fileno(), stdout=theirs.fileno()):  # noqa: S603 - ssh
        theirs.close()
        for _ in range(ROUND_TRIPS):
            began = time.perf_counter()
            ours.sendall(b"x")
            if not ours.recv(1):
                raise ConnectionError("ssh ended early")
            times.append(time.perf_counter() - began)
        ours.close()
    return statistics.median(times[ROUND_TRIPS // 10 :])


@contextmanager
def running(
    *command: str, stdin: object = subprocess.DEVNULL, log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command during the block."""
    with ExitStack() as stack:
        errors = stack.enter_context(log.open("wb")) if log else subprocess.DEVNULL
        process = subprocess.Popen(  # noqa: S603 - the relay, or sshd
            command,
            stdin=stdin,  # type: ignore[call-overload]
            stdout=errors,
            stderr=errors,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(START_SECONDS)


@contextmanager
def run_relay(log: Path) -> Iterator[int]:
    """Run a relay during the block; return its port."""
    with running(*RELAY, "start", "--host", "127.0.0.1", "--port", "0", log=log):
        line = wait_for(log, "listening on ws://127.0.0.1:")
        yield int(line.split("listening on ws://127.0.0.1:")[1].split()[0].strip("/,"))


@contextmanager
def run_sshd(server: str, folder: Path) -> Iterator[int]:
    """Run an ssh server on a free port during the block, with new keys; return the port."""
    for name in ("host", "user"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(key, check=True)  # noqa: S603 - ssh-keygen
    port = 20_000 + os.getpid() % 10_000
    options = {
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "user.pub",
        "ListenAddress": f"127.0.0.1:{port}",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
    }
    settings = [f"-o{name}={value}" for name, value in options.items()]
    log = folder / "sshd.log"
    with running(server, "-D", "-e", "-f", "/dev/null", *settings, log=log):
        wait_for(log, "Server listening")
        yield port


def wait_for(path: Path, text: str = "") -> str:
    """Wait until a file exists and has a text; return the content of the file."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if path.exists() and text in (content := path.read_text(errors="replace")):
            return content
        time.sleep(0.02)
    raise TimeoutError(f"{path.name} did not get ready")


if __name__ == "__main__":
    sys.exit(main())
