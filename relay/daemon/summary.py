"""Write a summary of a relay's state to the log, on SIGUSR1."""

from __future__ import annotations

import trio
from structlog.typing import FilteringBoundLogger

from ..limits.client_address import redact_address
from ..server.serve import RelayHandle
from ..server.statistics import OpenPair
from ..settings import RelaySettings
from .effective_limits import effective_limits
from .log_fields import drop_empty, rounded
from .settings import DaemonSettings


class Summary:
    """Writer of the summary: a line about the relay and, at log level debug, a line for each pair.

    No line holds a code. The setting ``log_addresses`` determines the form of addresses.
    """

    def __init__(
        self,
        handle: RelayHandle,
        log: FilteringBoundLogger,
        daemon_settings: DaemonSettings,
        relay_settings: RelaySettings,
    ) -> None:
        self._handle = handle
        self._log = log
        self._addresses = daemon_settings.log_addresses
        self._debug = daemon_settings.log_level == "debug"
        self._limits = effective_limits(relay_settings, handle.max_connections)
        self._began = trio.current_time()

    @property
    def uptime(self) -> float:
        """Seconds since the start of the relay."""
        return trio.current_time() - self._began

    async def write(self) -> None:
        """Write the summary. Let other tasks run after each line about a pair."""
        now = self._handle.statistics()
        self._log.info(
            "summary",
            uptime=rounded(self.uptime),
            pairs=now.pairs,
            waiting=now.waiting,
            connections=now.connections,
            bytes_a=now.bytes[0],
            bytes_b=now.bytes[1],
            **self._limits,
        )
        if self._debug:
            for pair in self._handle.open_pairs():
                self._write_pair(pair)
                await trio.lowlevel.checkpoint()

    def _write_pair(self, pair: OpenPair) -> None:
        a, b = (redact_address(client, self._addresses) for client in pair.clients)
        self._log.debug(
            "pair",
            pair=pair.pair,
            state="joined" if pair.joined else "waiting",
            age=rounded(pair.age),
            bytes_a=pair.bytes[0],
            bytes_b=pair.bytes[1],
            **drop_empty(client_a=a, client_b=b),
        )
