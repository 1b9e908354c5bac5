"""Messages of a relay to the supervisor that runs it."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.daemon.sd_notify import SystemdNotifier
from relay.daemon.signals import STATUS_INTERVAL
from tests.support.recorded_events import Log, conduct_of
from tests.support.relay_fixtures import MemoryRelay, ProcessRelay

FEED = 0.1
"""Seconds between two feeds of the watchdog, which is half of what it is set to."""


class Told:
    """A supervisor at a path, and what it was told."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(self.path)

    async def next(self) -> str:
        """Return what comes next."""
        await trio.lowlevel.wait_readable(self._socket)
        return self._socket.recv(4096).decode()

    async def after_feeds(self) -> str:
        """Return what comes next that does not feed the watchdog."""
        while (message := await self.next()) == "WATCHDOG=1":
            pass
        return message

    def drain(self) -> list[str]:
        """Return what has come already."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    """Return a supervisor that listens."""
    told = Told(tmp_path / "notify")
    yield told
    told.close()


class TestProcess:
    """A relay with a watchdog."""

    @pytest.fixture
    def variables(self, told: Told) -> Mapping[str, str]:
        """Return what the supervisor puts into the environment."""
        return {"NOTIFY_SOCKET": told.path, "WATCHDOG_USEC": str(int(2 * FEED * 1e6))}

    async def test_life(self, told: Told, process_relay: ProcessRelay) -> None:
        """It is told of readiness, of a reload, and of the end, each with what the relay does."""
        assert await told.after_feeds() == "READY=1\nSTATUS=0 pairs, 0 of them waiting"
        # Ready is who accepts already.
        await process_relay.join("code")
        await process_relay.pair("other")
        before = time.monotonic_ns() // 1000
        process_relay.process.send_signal(signal.SIGHUP)
        reloading = await told.after_feeds()
        assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert before <= int(reloading.rpartition("=")[2]) <= time.monotonic_ns() // 1000
        assert await told.after_feeds() == "READY=1\nSTATUS=2 pairs, 1 of them waiting"
        await process_relay.hang_up()
        while await process_relay.pairs():
            pass
        process_relay.process.terminate()
        assert await told.after_feeds() == "STOPPING=1\nSTATUS=0 pairs, 0 of them waiting"
        assert await process_relay.program.wait() == 0

    async def test_hung(self, told: Told, process_relay: ProcessRelay) -> None:
        """The watchdog is fed for as long as the process runs, and not while it hangs."""
        await told.after_feeds()
        for _ in range(3):
            assert await told.next() == "WATCHDOG=1"
        process_relay.process.send_signal(signal.SIGSTOP)
        while state(process_relay.process.pid) != "T":
            await trio.sleep(0.01)
        told.drain()
        await trio.sleep(4 * FEED)
        assert told.drain() == []
        process_relay.process.send_signal(signal.SIGCONT)
        assert await told.next() == "WATCHDOG=1"


def state(pid: int) -> str:
    """Return the letter of a process's state: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_status_now_and_then(
    told: Told, memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
) -> None:
    """Every few seconds it is told what the relay does."""
    with SystemdNotifier({"NOTIFY_SOCKET": told.path}) as systemd:
        conduct = conduct_of(memory_relay.handle, systemd, Log())
        with trio.move_on_after(2.5 * STATUS_INTERVAL):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(conduct.report_status)
                await trio.sleep(1.5 * STATUS_INTERVAL)
                await memory_relay.pair()
    assert told.drain() == [
        "STATUS=0 pairs, 0 of them waiting",
        "STATUS=1 pairs, 0 of them waiting",
    ]
