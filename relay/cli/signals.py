"""What a running relay does at a signal, and what it tells its supervisor."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import trio
from structlog.typing import FilteringBoundLogger

from ..server import RelayHandle
from .complaint import Complaint
from .log_lines import say_not_reloaded, say_reloaded, say_signal
from .notify import Supervisor
from .tls import TlsFiles

__all__ = ["Conduct"]

STATUS_INTERVAL: Final = 10.0
"""Seconds between two times at which the supervisor is told what the relay does."""


class Conduct:
    """Leads a relay through its signals: SIGHUP has its files read again, the others end it."""

    def __init__(
        self,
        handle: RelayHandle,
        tls: TlsFiles | None,
        supervisor: Supervisor,
        log: FilteringBoundLogger,
    ) -> None:
        self._handle = handle
        self._tls = tls
        self._supervisor = supervisor
        self._log = log

    @property
    def status(self) -> str:
        """What the relay does, for people."""
        now = self._handle.statistics()
        return f"{now.pairs} pairs, {now.waiting} of them waiting"

    async def report_status(self) -> None:
        """Tell the supervisor now and then what the relay does, until cancelled."""
        while True:
            await trio.sleep(STATUS_INTERVAL)
            await self._supervisor.status(self.status)

    async def wait_for_the_end(self, signals: AsyncIterator[int]) -> None:
        """Act on signals; return when one has come that ends the relay."""
        while True:
            number = await anext(signals)
            say_signal(self._log, signal.Signals(number).name)
            if number != signal.SIGHUP:
                return
            await self._supervisor.reloading()
            self._reload()
            # Also if that failed: the relay goes on with what it had.
            await self._supervisor.ready(self.status)

    def _reload(self) -> None:
        """Load the certificate and the token again."""
        done, failed = [], False
        if self._tls is not None:
            try:
                self._tls.reload()
                done.append("certificate")
            except Complaint as complaint:
                failed = True
                say_not_reloaded(self._log, "certificate", str(complaint))
        try:
            if self._handle.reload():
                done.append("token")
        except (OSError, ValueError) as error:
            failed = True
            say_not_reloaded(self._log, "token", str(error))
        if done or not failed:
            say_reloaded(self._log, done or ["nothing"])

    async def end_at_once(
        self, signals: AsyncIterator[int], listeners: Iterable[trio.abc.Listener[Any]]
    ) -> None:
        """Wait for an impatient second signal, and let it end the process on the spot.

        The listeners are closed first, so that no socket file stays.
        """
        while (number := await anext(signals)) == signal.SIGHUP:
            pass
        for listener in listeners:
            await trio.aclose_forcefully(listener)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
