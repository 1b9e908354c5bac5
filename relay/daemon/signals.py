"""Signals of a running relay, and the status that its supervisor gets."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterable
from typing import Final

import trio
from structlog.typing import FilteringBoundLogger

from ..server.serve import RelayHandle
from .errors import StartError, start_problem
from .log_observer import log_not_reloaded, log_reloaded, log_signal
from .sd_notify import SystemdNotifier
from .signal_dispositions import die_by
from .summary import Summary
from .tls import CertificateFiles
from .unix_listener import UnixListener

__all__ = ["HANDLED", "SignalHandler"]

HANDLED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Signals that a running relay handles."""

STATUS_INTERVAL: Final = 10.0
"""Seconds between two times at which the supervisor is told what the relay does."""


class SignalHandler:
    """Handle the signals of a relay.

    SIGHUP reloads its files, SIGUSR1 writes a summary to the log, and SIGINT and SIGTERM end it.
    """

    def __init__(
        self,
        handle: RelayHandle,
        tls: CertificateFiles | None,
        systemd: SystemdNotifier,
        log: FilteringBoundLogger,
        summary: Summary,
    ) -> None:
        self._handle = handle
        self._tls = tls
        self._systemd = systemd
        self._log = log
        self._summary = summary

    @property
    def status(self) -> str:
        """What the relay does, for people."""
        now = self._handle.statistics()
        return f"{now.pairs} pairs, {now.waiting} of them waiting"

    async def report_status(self) -> None:
        """Tell the supervisor now and then what the relay does, until cancelled."""
        while True:
            await trio.sleep(STATUS_INTERVAL)
            await self._systemd.set_status(self.status)

    async def wait_for_stop_signal(self, signals: AsyncIterator[int]) -> None:
        """Handle signals until SIGINT or SIGTERM arrives."""
        while True:
            number = await anext(signals)
            log_signal(self._log, signal.Signals(number).name)
            if number == signal.SIGUSR1:
                await self._summary.write()
            elif number == signal.SIGHUP:
                await self._systemd.reloading()
                self._reload()
                # Also if that failed: the relay goes on with what it had.
                await self._systemd.ready(self.status)
            else:
                return

    def _reload(self) -> None:
        """Load the certificate and the token again."""
        done, failed = [], False
        if self._tls is not None:
            try:
                self._tls.reload()
                done.append("certificate")
            except StartError as complaint:
                failed = True
                log_not_reloaded(self._log, "certificate", str(complaint))
        try:
            if self._handle.reload_token():
                done.append("token")
        except (OSError, ValueError) as error:
            failed = True
            log_not_reloaded(self._log, "token", start_problem(error))
        if done or not failed:
            log_reloaded(self._log, done or ["nothing"])

    async def end_at_once(
        self, signals: AsyncIterator[int], listeners: Iterable[trio.abc.Listener[trio.SocketStream]]
    ) -> None:
        """Wait for a second SIGINT or SIGTERM while the relay stops, and end the process by it.

        SIGHUP has no effect any more. The files of Unix sockets are removed, and nothing else is
        closed: a task that lost its listener would fail before the process is gone.
        """
        while (number := await anext(signals)) not in {signal.SIGINT, signal.SIGTERM}:
            if number == signal.SIGUSR1:
                await self._summary.write()
        for listener in listeners:
            if isinstance(listener, UnixListener):
                listener.remove_file()
        die_by(number)
