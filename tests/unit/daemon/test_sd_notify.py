"""Notifications of the service manager, over real datagram sockets."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.daemon.errors import StartError
from relay.daemon.sd_notify import SEND_TIMEOUT, SystemdNotifier


class Listener:
    """A service manager at an address, which reads its notifications on demand."""

    def __init__(self, address: str) -> None:
        self.environment = {"NOTIFY_SOCKET": address}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.setblocking(False)

    def read(self) -> list[str]:
        """Return every message since the last call."""
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    """Return a supervisor at a path, and one in the abstract namespace."""
    address = tmp_path / "notify" if request.param == "path" else f"@arc-relay-test-{os.getpid()}"
    listener = Listener(str(address))
    yield listener
    listener.socket.close()


async def test_messages(listener: Listener) -> None:
    """Each message is one datagram, in the format of systemd."""
    with SystemdNotifier(listener.environment) as systemd:
        await systemd.ready("2 pairs")
        await systemd.set_status("3 pairs")
        await systemd.stopping("closing 3 pairs")
    assert listener.read() == [
        "READY=1\nSTATUS=2 pairs",
        "STATUS=3 pairs",
        "STOPPING=1\nSTATUS=closing 3 pairs",
    ]


async def test_reloading(listener: Listener) -> None:
    """A reload has the time of its start, by the monotonic clock."""
    before = time.monotonic_ns() // 1000
    with SystemdNotifier(listener.environment) as systemd:
        await systemd.reloading()
    [message] = listener.read()
    found = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", message)
    assert found is not None, message
    assert before <= int(found[1]) <= time.monotonic_ns() // 1000


async def test_a_status_is_one_line(listener: Listener) -> None:
    """A line break in a status does not start a field of its own."""
    with SystemdNotifier(listener.environment) as systemd:
        await systemd.set_status("a\nMAINPID=1\r\n b\udcff")
    assert listener.read() == ["STATUS=a MAINPID=1 b?"]


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "1000000"}, {"NOTIFY_SOCKET": ""}])
async def test_nobody(environment: dict[str, str]) -> None:
    """Without a service manager there are no notifications, and no watchdog."""
    with SystemdNotifier(environment) as systemd:
        await systemd.ready("")
        await systemd.set_status("")
        await systemd.reloading()
        await systemd.stopping("")
        await systemd.feed_watchdog()


async def test_missing_supervisor(tmp_path: Path) -> None:
    """A supervisor that is missing, closed, or started again causes no failure."""
    address = tmp_path / "notify"
    with SystemdNotifier({"NOTIFY_SOCKET": str(address)}) as systemd:
        await systemd.ready("nobody yet")
        first = Listener(str(address))
        await systemd.set_status("to the first")
        assert first.read() == ["STATUS=to the first"]
        first.socket.close()
        await systemd.set_status("nobody")
        address.unlink()
        second = Listener(str(address))
        await systemd.set_status("to the second")
        assert second.read() == ["STATUS=to the second"]
        second.socket.close()


async def fill(systemd: SystemdNotifier) -> int:
    """Fill the socket of the service manager; return the number of messages."""
    for number in range(100_000):
        with trio.CancelScope() as scope:
            scope.deadline = trio.current_time() + SEND_TIMEOUT / 2
            await systemd.set_status(str(number))
        if scope.cancelled_caught:
            return number
    raise AssertionError


async def test_behind(listener: Listener, autojump_clock: trio.testing.MockClock) -> None:
    """A service manager that does not read misses messages, and delays no task for long."""
    with SystemdNotifier(listener.environment) as systemd:
        taken = await fill(systemd)
        start = trio.current_time()
        await systemd.set_status("missed")
        assert trio.current_time() - start == SEND_TIMEOUT
    assert listener.read() == [f"STATUS={number}" for number in range(taken)]


async def test_catching_up(listener: Listener, mock_clock: trio.testing.MockClock) -> None:
    """Once a blocked service manager reads on, it gets the messages of several tasks."""
    with SystemdNotifier(listener.environment) as systemd:
        mock_clock.autojump_threshold = 0
        await fill(systemd)
        mock_clock.autojump_threshold = float("inf")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(systemd.set_status, "one")
            nursery.start_soon(systemd.set_status, "two")
            await trio.testing.wait_all_tasks_blocked()
            listener.read()
    assert sorted(listener.read()) == ["STATUS=one", "STATUS=two"]


async def test_watchdog(listener: Listener, autojump_clock: trio.testing.MockClock) -> None:
    """The watchdog is fed at once, then twice in each interval, until it is cancelled."""
    environment = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    with (
        SystemdNotifier(listener.environment | environment) as systemd,
        trio.move_on_after(31) as scope,
    ):
        await systemd.feed_watchdog()
    assert scope.cancelled_caught
    assert listener.read() == ["WATCHDOG=1"] * 3


async def test_hung_loop(listener: Listener, mock_clock: trio.testing.MockClock) -> None:
    """A blocked event loop does not feed the watchdog."""
    async with trio.open_nursery() as nursery:
        with SystemdNotifier(listener.environment | {"WATCHDOG_USEC": "30000000"}) as systemd:
            nursery.start_soon(systemd.feed_watchdog)
            await trio.testing.wait_all_tasks_blocked()
            assert listener.read() == ["WATCHDOG=1"]
            mock_clock.jump(3600)  # the clock runs, the loop does not
            assert listener.read() == []
            await trio.testing.wait_all_tasks_blocked()
            assert listener.read() == ["WATCHDOG=1"]
            nursery.cancel_scope.cancel()


async def test_watchdog_without_descriptors(
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A relay without free descriptors still feeds the watchdog."""
    with SystemdNotifier(listener.environment | {"WATCHDOG_USEC": "2000000"}) as systemd:

        def refuse(*_arguments: object) -> None:
            raise OSError

        monkeypatch.setattr(socket.socket, "__init__", refuse)
        with trio.move_on_after(0.5):
            await systemd.feed_watchdog()
    assert listener.read() == ["WATCHDOG=1"]


async def test_watchdog_of_another_process(listener: Listener) -> None:
    """A watchdog for another process is not fed."""
    environment = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}
    with SystemdNotifier(listener.environment | environment) as systemd:
        await systemd.feed_watchdog()
    assert listener.read() == []


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"NOTIFY_SOCKET": "vsock:2:1"},
            "NOTIFY_SOCKET must be a path or an @name, not 'vsock:2:1'",
        ),
        (
            {"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "1e6"},
            "WATCHDOG_USEC must be a whole number of microseconds, not '1e6'",
        ),
        (
            {"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "-1"},
            "WATCHDOG_USEC must be a whole number of microseconds, not '-1'",
        ),
        (
            {"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "\u0661"},
            "WATCHDOG_USEC must be a whole number of microseconds, not '\u0661'",
        ),
        (
            {"NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "9" * 400},
            f"WATCHDOG_USEC must be a whole number of microseconds, not '{'9' * 400}'",
        ),
    ],
)
def test_no_supervisor_says_this(environment: dict[str, str], message: str) -> None:
    """A malformed variable is named, with its allowed values."""
    with pytest.raises(StartError) as caught:
        SystemdNotifier(environment)
    assert str(caught.value) == message
