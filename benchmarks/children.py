"""Peers as child processes: start, costs and end."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from .tls import TLS

START_SECONDS = 15.0
STOP_SECONDS = 5.0
_CPU_CLOCK_OF_PROCESS = 2
_READY = re.compile(rb"(?:127\.0\.0\.1:|starting on )(\d+)\D")


class Pairing(Enum):
    """Ways in which a peer matches the two connections of a pair."""

    QUERY = "WebSocket, ?pair=CODE"
    LINE = "raw TCP, a line with a token first"
    SPLICE = "raw TCP, joined to a listener of the load"


class PeerError(Exception):
    """Failure to install or start a peer, with the reason."""


@dataclass(frozen=True)
class Running:
    """Running peer: its address, its pairing, and its use of resources so far."""

    pid: int
    port: int
    pairing: Pairing
    sink: socket.socket
    tls: TLS | None = None

    def cpu_seconds(self) -> float:
        """Return user and system time of the process and its descendants, so far."""
        # The CPU clock of a process has a resolution of nanoseconds, its stat file one of
        # 10 ms. The clock includes threads that have ended.
        return sum(
            time.clock_gettime((~pid << 3) | _CPU_CLOCK_OF_PROCESS) for pid in family(self.pid)
        )

    def rss_bytes(self) -> int:
        """Return the resident memory of the process and its descendants, without kernel buffers."""
        pages = sum(
            int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
            for pid in family(self.pid)
        )
        return pages * resource.getpagesize()


def family(pid: int) -> Iterator[int]:
    """Return a process and its descendants, such as the workers of a proxy."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError):  # the thread has ended
            for child in children.read_text(encoding="ascii").split():
                yield from family(int(child))


@contextmanager
def started(
    command: Sequence[str],
    pairing: Pairing,
    *,
    inherits_listener: bool = False,
    tls: TLS | None = None,
) -> Iterator[Running]:
    """Run a peer until the block ends; PeerError where it accepts no connection in time.

    A peer says its port on its standard output, or with `inherits_listener` is handed a
    listening socket, whose number is `LISTENER_FD` in its environment; `SINK_PORT` there
    is where a splice connects to. With `tls`, its environment has the paths of the
    certificate. The peer is ended by SIGTERM, or by SIGKILL after STOP_SECONDS.
    """
    with (
        _listener() as sink,
        _listener() as inherited,
        tempfile.TemporaryFile() as log,
        subprocess.Popen(  # noqa: S603 - the commands are ours, in peers/
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ
            | {
                "PYTHONUNBUFFERED": "1",
                "SINK_PORT": str(sink.getsockname()[1]),
                "LISTENER_FD": str(inherited.fileno()),
            }
            | (tls.environment if tls else {}),
            pass_fds=[inherited.fileno()] if inherits_listener else [],
            start_new_session=True,  # so that Ctrl-C is ours alone, and we end the child
        ) as child,
    ):
        try:
            port = inherited.getsockname()[1] if inherits_listener else _port_said(child, log.name)
            yield Running(child.pid, port, pairing, sink, tls)
        finally:
            _end(child)


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one, for this process and its children."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _listener() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.settimeout(STOP_SECONDS)
    return listener


def _port_said(child: subprocess.Popen[bytes], log: int | str) -> int:
    # A file, not a pipe: a talkative peer never blocks on us, and no thread reads it.
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        said = Path(f"/proc/self/fd/{log}").read_bytes()
        if match := _READY.search(said):
            return int(match[1])
        if child.poll() is not None:
            last_line = said.decode(errors="replace").strip().rpartition("\n")[2]
            raise PeerError(last_line or f"ended with status {child.returncode}")
        time.sleep(0.02)
    raise PeerError(f"did not listen within {START_SECONDS:.0f} s")


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)  # its session: descendants, too
        child.wait()
