"""What the log says: a line for each pair that ends, for refusals, and for what the relay does.

No line holds a code or a payload. A pair is named by the hash that its events carry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

import trio
from structlog.typing import FilteringBoundLogger

from ..events import (
    Event,
    PairEnded,
    PairJoined,
    Probed,
    Refused,
    Stopping,
    TlsHandshakeFailed,
)
from ..fields import differing
from ..limits.address_redaction import shown_address
from ..limits.token_bucket import Allowance

__all__ = [
    "LogObserver",
    "say_not_reloaded",
    "say_reloaded",
    "say_settings",
    "say_signal",
    "say_started",
    "say_stopped",
]

DIGITS: Final = 3
"""Decimal places of seconds."""


class LogObserver:
    """Writes a log line for each event that an operator wants to know of.

    Client addresses are shown as ``addresses`` says, one of `log_addresses.SHOWN`. Refusals
    and failed TLS handshakes are limited in rate for each status and kind, since strangers cause
    them; ``suppressed`` is how many were left out before a line. The clock gives seconds, by
    default those of the relay's trio loop.
    """

    def __init__(
        self,
        log: FilteringBoundLogger,
        addresses: str = "off",
        *,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._log = log
        self._addresses = addresses
        self._clock = clock
        self._refusals: dict[int | str, Allowance] = {}

    def notice(self, event: Event) -> None:
        match event:
            case PairEnded():
                self._say_ended(event)
            case Refused():
                self._say_refused(event)
            case PairJoined():
                self._log.debug("pair joined", pair=event.pair, waited=rounded(event.waited))
            case Probed():
                # What follows from silence, the end of a pair, has a line of its own.
                self._log.debug("pair probed", pair=event.pair, answered=event.answered)
            case TlsHandshakeFailed():
                self._say_handshake_failed(event)
            case _:
                self._say_stopping(event)

    def _say_ended(self, ended: PairEnded) -> None:
        """Say how a pair ended; one that was never joined has nothing but its waiting to tell."""
        a, b = (shown_address(client, self._addresses) for client in ended.clients)
        if not ended.joined:
            self._log.info(
                "waiting ended",
                pair=ended.pair,
                outcome=ended.outcome.label,
                waited=rounded(ended.waited),
                **present(client_a=a),
            )
            return
        self._log.info(
            "pair ended",
            pair=ended.pair,
            outcome=ended.outcome.label,
            waited=rounded(ended.waited),
            lasted=rounded(ended.lasted),
            bytes_a=ended.bytes[0],
            bytes_b=ended.bytes[1],
            messages_a=ended.messages[0],
            messages_b=ended.messages[1],
            **present(
                texts_a=ended.texts[0],
                texts_b=ended.texts[1],
                stalled_a=rounded(ended.stalled[0]),
                stalled_b=rounded(ended.stalled[1]),
                client_a=a,
                client_b=b,
            ),
        )

    def _say_refused(self, refused: Refused) -> None:
        now = self._clock()
        allowance = self._refusals.setdefault(refused.status, Allowance(now))
        if not allowance.take(now):
            return
        client = shown_address(refused.client, self._addresses)
        # What clients do wrong is no concern of the operator's; that the relay is full may be.
        ours = refused.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        say = self._log.warning if ours else self._log.info
        say(
            "refused",
            status=int(refused.status),  # an enumeration would show its name on a terminal
            reason=refused.reason,
            **present(client=client, suppressed=allowance.settle()),
        )

    def _say_handshake_failed(self, failed: TlsHandshakeFailed) -> None:
        """Say why a handshake failed; strangers cause most of them, so the rate is limited."""
        now = self._clock()
        allowance = self._refusals.setdefault(failed.kind, Allowance(now))
        if allowance.take(now):
            self._log.debug(
                "tls handshake failed",
                kind=failed.kind.value,
                **present(
                    detail=failed.detail,
                    client=shown_address(failed.client, self._addresses),
                    suppressed=allowance.settle(),
                ),
            )

    def _say_stopping(self, stopping: Stopping) -> None:
        left_out = sum(each.settle() for each in self._refusals.values())
        self._log.info(
            "stopping",
            pairs=stopping.pairs,
            waiting=stopping.waiting,
            **present(suppressed=left_out),
        )


def say_started(
    log: FilteringBoundLogger,
    addresses: Iterable[str],
    *,
    version: str,
    pid: int,
    metrics: Iterable[str] = (),
) -> None:
    """Say that the relay accepts connections, and where, and where its metrics are, if anywhere."""
    log.info(
        "started",
        listening=",".join(addresses),
        **present(metrics=",".join(metrics)),
        version=version,
        pid=pid,
    )


def say_settings(log: FilteringBoundLogger, *settings: Any) -> None:
    """Say which fields of these dataclasses differ from their defaults; nothing if none does."""
    changed = {name: as_text(value) for name, value in differing(*settings)}
    if changed:
        log.info("settings", **changed)


def say_signal(log: FilteringBoundLogger, name: str) -> None:
    """Say that a signal came, by its name, such as SIGTERM."""
    log.info("signal", name=name)


def say_reloaded(log: FilteringBoundLogger, what: Iterable[str]) -> None:
    """Say what was read again."""
    log.info("reloaded", what=",".join(what))


def say_not_reloaded(log: FilteringBoundLogger, what: str, why: str) -> None:
    """Say what could not be read again, so that its old content stays in use."""
    log.error("not reloaded", what=what, why=why)


def say_stopped(log: FilteringBoundLogger) -> None:
    """Say that every connection is closed."""
    log.info("stopped")


def rounded(seconds: float) -> float:
    """Return seconds as a line shows them."""
    return round(seconds, DIGITS)


def present(**values: Any) -> dict[str, Any]:
    """Return those of some fields that have something to tell."""
    return {name: value for name, value in values.items() if value}


def as_text(value: object) -> object:
    """Return a value as its flag would be given."""
    return ",".join(value) if isinstance(value, tuple) else value
