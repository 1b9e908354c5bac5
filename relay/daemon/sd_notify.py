"""Notify systemd, or another service manager, of the state of the relay (sd_notify protocol)."""

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

MICROSECONDS: Final = re.compile(r"[0-9]{1,20}")  # a number of 64 bits has at most 20 digits

SEND_TIMEOUT: Final = 1.0
"""Seconds to wait for space in the service manager's socket before a notification is dropped."""


class SystemdNotifier:
    """Sender of notifications to the service manager.

    The constructor reads ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``, and raises
    `StartError` if one of them is malformed. The object is a context manager, and keeps one socket
    open, so that it can send watchdog notifications even if no descriptor is free.

    Without a service manager, every method does nothing. If the service manager is gone or busy, no
    method raises, and no notification waits longer than `SEND_TIMEOUT` seconds.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address and self._address[0] not in "/@":
            raise StartError(f"NOTIFY_SOCKET must be a path or an @name, not {self._address!r}")
        if self._address.startswith("@"):  # abstract namespace
            self._address = "\0" + self._address[1:]
        self._watchdog = watchdog_timeout(environment) if self._address else 0.0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._free = trio.Lock()  # trio allows only one task to wait for a socket

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def ready(self, status: str) -> None:
        """Notify that the relay accepts connections or has reloaded its files."""
        await self._send("READY=1", f"STATUS={one_line(status)}")

    async def set_status(self, status: str) -> None:
        """Set the status line that ``systemctl status`` shows."""
        await self._send(f"STATUS={one_line(status)}")

    async def reloading(self) -> None:
        """Notify that the relay is reloading its files; call `ready` afterwards."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        await self._send("RELOADING=1", f"MONOTONIC_USEC={now}")

    async def stopping(self, status: str) -> None:
        """Notify that the relay is stopping."""
        await self._send("STOPPING=1", f"STATUS={one_line(status)}")

    async def feed_watchdog(self) -> None:
        """Send two watchdog notifications per watchdog timeout, until cancelled.

        The notifications depend on the event loop. If the loop hangs, they stop, and the service
        manager kills and restarts the relay. If the service manager has no watchdog for this
        process, return at once.
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
                # Connect each time, because the service manager may have restarted. Without a
                # connection, the kernel would not report that the manager's socket has space again.
                self._socket.connect(self._address)
                while True:
                    try:
                        self._socket.send(message)
                    except BlockingIOError:
                        await trio.lowlevel.wait_writable(self._socket)
                    else:
                        break


def watchdog_timeout(environment: Mapping[str, str]) -> float:
    """Return the watchdog timeout of this process in seconds; 0 if there is no watchdog."""
    text = environment.get("WATCHDOG_USEC", "")
    if not text or environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    if not MICROSECONDS.fullmatch(text):
        raise StartError(f"WATCHDOG_USEC must be a whole number of microseconds, not {text!r}")
    return int(text) / 1e6


def one_line(text: str) -> str:
    """Join the words of a text with single spaces, because a line break would begin a new field."""
    return " ".join(text.split())
