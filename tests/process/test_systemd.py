"""Notifications of a relay to the service manager that runs it."""

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
from tests.support.recorded_events import Log, signal_handler
from tests.support.relay_fixtures import MemoryRelay, ProcessRelay

FEED = 0.1
"""Seconds between two watchdog notifications: half of the watchdog timeout."""


class ServiceManager:
    """A service manager at a path, and the notifications that it received."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(self.path)

    async def next(self) -> str:
        """Return the next notification."""
        await trio.lowlevel.wait_readable(self._socket)
        return self._socket.recv(4096).decode()

    async def after_feeds(self) -> str:
        """Return the next notification that is not sent at an interval."""
        while (message := await self.next()).startswith(("WATCHDOG=", "STATUS=")):
            pass
        return message

    def drain(self) -> list[str]:
        """Return the notifications that have arrived."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    """Return a supervisor that listens."""
    manager = ServiceManager(tmp_path / "notify")
    yield manager
    manager.close()


class TestProcess:
    """Relay with a watchdog."""

    @pytest.fixture
    def variables(self, manager: ServiceManager) -> Mapping[str, str]:
        """Return the environment variables of the service manager."""
        return {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": str(int(2 * FEED * 1e6))}

    async def test_life(self, manager: ServiceManager, process_relay: ProcessRelay) -> None:
        """The relay notifies of its readiness, a reload and its end, each with its status."""
        assert await manager.after_feeds() == "READY=1\nSTATUS=0 pairs, 0 of them waiting"
        # A relay that is ready accepts connections.
        await process_relay.join("code")
        await process_relay.pair("other")
        before = time.monotonic_ns() // 1000
        process_relay.process.send_signal(signal.SIGHUP)
        reloading = await manager.after_feeds()
        assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert before <= int(reloading.rpartition("=")[2]) <= time.monotonic_ns() // 1000
        assert await manager.after_feeds() == "READY=1\nSTATUS=2 pairs, 1 of them waiting"
        await process_relay.hang_up()
        while await process_relay.pairs():
            pass
        process_relay.process.terminate()
        assert await manager.after_feeds() == "STOPPING=1\nSTATUS=0 pairs, 0 of them waiting"
        assert await process_relay.program.wait() == 0

    async def test_hung(self, manager: ServiceManager, process_relay: ProcessRelay) -> None:
        """The watchdog is fed while the process runs, and not while it hangs."""
        await manager.after_feeds()
        for _ in range(3):
            assert await manager.next() == "WATCHDOG=1"
        process_relay.process.send_signal(signal.SIGSTOP)
        while state(process_relay.process.pid) != "T":
            await trio.sleep(0.01)
        manager.drain()
        await trio.sleep(4 * FEED)
        assert manager.drain() == []
        process_relay.process.send_signal(signal.SIGCONT)
        assert await manager.next() == "WATCHDOG=1"


def state(pid: int) -> str:
    """Return the letter of a process's state: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_status_now_and_then(
    manager: ServiceManager, memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
) -> None:
    """The service manager gets the status every few seconds."""
    with SystemdNotifier({"NOTIFY_SOCKET": manager.path}) as systemd:
        handler = signal_handler(memory_relay.handle, systemd, Log())
        with trio.move_on_after(2.5 * STATUS_INTERVAL):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(handler.report_status)
                await trio.sleep(1.5 * STATUS_INTERVAL)
                await memory_relay.pair()
    assert manager.drain() == [
        "STATUS=0 pairs, 0 of them waiting",
        "STATUS=1 pairs, 0 of them waiting",
    ]
