"""Handle the signals of a running relay, and report its status to the service manager."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterable
from typing import Final

import trio
from structlog.typing import FilteringBoundLogger

from ..server.serve import RelayHandle
from .process_log import log_signal
from .reload import Reloader
from .sd_notify import SystemdNotifier
from .signal_dispositions import die_by
from .summary import Summary
from .unix_listener import UnixListener

HANDLED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Signals that a running relay handles."""

STATUS_INTERVAL: Final = 10.0
"""Seconds between two status reports to the service manager."""


class SignalHandler:
    """Handler for the signals of a running relay.

    SIGHUP reloads the files of the relay, SIGUSR1 writes a summary to the log, and SIGINT and
    SIGTERM stop the relay.
    """

    def __init__(
        self,
        handle: RelayHandle,
        reloader: Reloader,
        systemd: SystemdNotifier,
        log: FilteringBoundLogger,
        summary: Summary,
    ) -> None:
        self._handle = handle
        self._reloader = reloader
        self._systemd = systemd
        self._log = log
        self._summary = summary

    @property
    def status(self) -> str:
        """Status line for ``systemctl status``, with the number of pairs."""
        now = self._handle.statistics()
        return f"{now.pairs} pairs, {now.waiting} of them waiting"

    async def report_status(self) -> None:
        """Report the status every `STATUS_INTERVAL` seconds, until cancelled."""
        while True:
            await trio.sleep(STATUS_INTERVAL)
            await self._systemd.set_status(self.status)

    async def wait_for_stop_signal(self, signals: AsyncIterator[int]) -> None:
        """Handle signals until SIGINT or SIGTERM arrives; `run.serve` then stops the relay."""
        while True:
            number = await anext(signals)
            log_signal(self._log, signal.Signals(number).name)
            if number == signal.SIGUSR1:
                await self._summary.write()
            elif number == signal.SIGHUP:
                await self._systemd.reloading()
                self._reloader.reload()
                # Report ready even if the reload failed, because the old files stay in use.
                await self._systemd.ready(self.status)
            else:
                return

    async def end_at_once(
        self, signals: AsyncIterator[int], listeners: Iterable[trio.abc.Listener[trio.SocketStream]]
    ) -> None:
        """Wait for a second SIGINT or SIGTERM, and end the process by that signal.

        Until then, SIGUSR1 still writes a summary, but SIGHUP has no effect. Before the process
        ends, the files of Unix sockets are removed. The listeners stay open, because closing one
        would make the task that accepts its connections fail before the process ends.
        """
        while (number := await anext(signals)) not in {signal.SIGINT, signal.SIGTERM}:
            if number == signal.SIGUSR1:
                await self._summary.write()
        for listener in listeners:
            if isinstance(listener, UnixListener):
                listener.remove_file()
        die_by(number)
