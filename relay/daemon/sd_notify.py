"""Tell systemd, or another supervisor, how the relay is (the protocol of sd_notify)."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Self

import trio

from .errors import StartError

__all__ = ["SystemdNotifier"]

MICROSECONDS: Final = re.compile(r"[0-9]{1,20}")  # 64 bits

SEND_TIMEOUT: Final = 1.0
"""Seconds that a supervisor may take to read what it was told before; then it misses this."""


class SystemdNotifier:
    """Who started the relay, if it wants to be told; if not, every method does nothing.

    A context manager, which keeps a socket open: what the watchdog is fed with must not depend on
    a descriptor being free. Reads ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``.

    Raises `Complaint` if one of them is not what a supervisor sets. No method raises or waits for
    long because the supervisor is gone or busy.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address and self._address[0] not in "/@":
            raise StartError(f"NOTIFY_SOCKET must be a path or an @name, not {self._address!r}")
        if self._address.startswith("@"):  # the abstract namespace
            self._address = "\0" + self._address[1:]
        self._watchdog = watchdog_timeout(environment) if self._address else 0.0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._free = trio.Lock()  # one task at a time may wait for a socket

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def ready(self, status: str) -> None:
        """Say that the relay accepts connections, or that it has reloaded, and what it does."""
        await self._send("READY=1", f"STATUS={one_line(status)}")

    async def set_status(self, status: str) -> None:
        """Say what the relay does, for people."""
        await self._send(f"STATUS={one_line(status)}")

    async def reloading(self) -> None:
        """Say that the relay begins to load its files again; `ready` is to follow."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        await self._send("RELOADING=1", f"MONOTONIC_USEC={now}")

    async def stopping(self, status: str) -> None:
        """Say that the relay begins to stop, and what it does."""
        await self._send("STOPPING=1", f"STATUS={one_line(status)}")

    async def feed_watchdog(self) -> None:
        """Say at half of the supervisor's interval that the relay is alive, until cancelled.

        The event loop does it: once that hangs, the supervisor kills the relay and starts another.
        Returns at once where no watchdog waits.
        """
        while self._watchdog:
            await self._send("WATCHDOG=1")
            await trio.sleep(self._watchdog / 2)

    async def _send(self, *lines: str) -> None:
        if not self._address:
            return
        message = "\n".join(lines).encode(errors="replace")
        with suppress(OSError), trio.move_on_after(SEND_TIMEOUT):
            async with self._free:
                # Each time, for the supervisor may have started anew; and at all, for only then
                # does the system tell when one that is behind reads on.
                self._socket.connect(self._address)
                while True:
                    try:
                        self._socket.send(message)
                    except BlockingIOError:
                        await trio.lowlevel.wait_writable(self._socket)
                    else:
                        break


def watchdog_timeout(environment: Mapping[str, str]) -> float:
    """Return after how many seconds of silence the supervisor kills this process; 0 is never."""
    text = environment.get("WATCHDOG_USEC", "")
    if not text or environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    if not MICROSECONDS.fullmatch(text):
        raise StartError(f"WATCHDOG_USEC must be a whole number of microseconds, not {text!r}")
    return int(text) / 1e6


def one_line(text: str) -> str:
    """Return text without line breaks, each of which would begin another field."""
    return " ".join(text.split())
