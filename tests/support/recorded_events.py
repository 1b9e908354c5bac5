"""Events of a relay, and a log in memory.

The addresses in the events are forbidden in every output by default.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from structlog.typing import FilteringBoundLogger

from relay import RelayHandle, RelaySettings
from relay.daemon.logging import configure_logging
from relay.daemon.reload import Reloader
from relay.daemon.sd_notify import SystemdNotifier
from relay.daemon.settings import DaemonSettings
from relay.daemon.signals import SignalHandler
from relay.daemon.summary import Summary
from relay.events import (
    Event,
    PairEnded,
    PairJoined,
    ProxyNotTrusted,
    RelayStopping,
    RequestRefused,
    SideWaiting,
    TakeoverChecked,
    TextDropped,
    TlsHandshakeFailed,
)
from relay.outcomes import Outcome
from relay.transport.tls_failure import TlsFailure

CANARY_V4 = "192.0.2.77"
CANARY_V6 = "2001:db8:beef:cafe::77"

REFUSED = RequestRefused(409, "pair is full", client=CANARY_V4, pair="5f3a91c2d4")
WAITING = SideWaiting("5f3a91c2d4", client=CANARY_V4)
JOINED = PairJoined("5f3a91c2d4", wait_time=2.5, client=CANARY_V6)
ENDED = PairEnded(
    "5f3a91c2d4",
    Outcome.CLOSED,
    joined=True,
    wait_time=2.5,
    duration=61.23456,
    bytes=(3000, 70),
    messages=(12, 3),
    text_messages_dropped=(0, 1),
    blocked_time=(0.0, 1.25),
    clients=(CANARY_V4, CANARY_V6),
)
ALONE = PairEnded(
    "0badc0de77",
    Outcome.EXPIRED,
    joined=False,
    wait_time=300.0,
    duration=0.0,
    clients=(CANARY_V6, ""),
)
TEXT_DROPPED = TextDropped("5f3a91c2d4", side="b")
PROBED = TakeoverChecked("5f3a91c2d4", answered=True)
UNTRUSTED = ProxyNotTrusted(CANARY_V4)
STOPPING = RelayStopping(pairs=3, waiting=1)
HANDSHAKE_FAILED = TlsHandshakeFailed(
    TlsFailure.CERTIFICATE_REFUSED, "tlsv1 alert unknown ca", client=CANARY_V4
)

EVERY_EVENT: list[Event] = [
    REFUSED,
    replace(REFUSED, client=CANARY_V6),
    WAITING,
    JOINED,
    TEXT_DROPPED,
    ENDED,
    ALONE,
    PROBED,
    UNTRUSTED,
    STOPPING,
    HANDSHAKE_FAILED,
    replace(HANDSHAKE_FAILED, client=CANARY_V6),
]


@contextmanager
def bare_logging() -> Iterator[None]:
    """Reset the logging of the standard library as in a new process, and restore it later."""
    root, own = logging.getLogger(), logging.getLogger("relay")
    before = root.handlers[:], root.level, own.level
    root.handlers.clear()
    yield
    root.handlers[:], root.level, own.level = before


class Log:
    """Log in memory, with the lines since it was last read."""

    def __init__(self, level: str = "debug", format: str = "json") -> None:
        self._stream = io.StringIO()
        self.log: FilteringBoundLogger = configure_logging(format, level, stream=self._stream)

    def text(self) -> str:
        """Return the unchanged lines."""
        text = self._stream.getvalue()
        self._stream.seek(0)
        self._stream.truncate()
        return text

    def lines(self) -> list[dict[str, Any]]:
        """Return the fields of each line without its timestamp."""
        lines = [json.loads(line) for line in self.text().splitlines()]
        for line in lines:
            del line["timestamp"]
        return lines


def signal_handler(
    handle: RelayHandle, systemd: SystemdNotifier, log: Log, **settings: Any
) -> SignalHandler:
    """Return the signal handler of a relay with these settings."""
    summary = Summary(handle, log.log, DaemonSettings(**settings), RelaySettings())
    reloader = Reloader(handle, None, log.log)
    return SignalHandler(handle, reloader, systemd, log.log, summary)
