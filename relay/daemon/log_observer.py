"""Write log lines for the events of a relay, such as joined pairs and refused requests.

No line holds a code or a payload. A line identifies a pair by the hash of the pair's code.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import trio
from structlog.typing import FilteringBoundLogger

from ..events import (
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
from ..limits.client_address import UNIX, redact_address
from .log_fields import drop_empty, rounded

BURST: Final = 10.0
"""Capacity of a token bucket. Each line takes one token, so this is the longest burst of lines."""

REFILL_PER_SECOND: Final = 1.0
"""Tokens that a bucket gains per second."""


class LogObserver:
    """Observer that writes a log line for each event of interest to an operator.

    Any client can cause refusals, dropped text, takeover checks and failed TLS handshakes, so the
    log lines for these events are rate-limited. Each status of a refusal and each kind of failed
    TLS handshake has a rate limit of its own. The field ``suppressed`` counts the lines omitted
    since the last line written under the same limit.

    ``addresses`` is the value of the setting ``log_addresses``. ``limits_clients`` is True if the
    relay has a limit per client; an untrusted proxy then deserves a warning. ``clock`` returns the
    time in seconds.
    """

    def __init__(
        self,
        log: FilteringBoundLogger,
        addresses: str = "off",
        *,
        limits_clients: bool = False,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._log = log
        self._addresses = addresses
        self._needs_addresses = limits_clients or addresses != "off"
        self._clock = clock
        self._buckets: dict[int | str, TokenBucket] = {}

    def on_event(self, event: Event) -> None:
        match event:
            case PairEnded():
                self._log_ended(event)
            case RequestRefused():
                self._log_refused(event)
            case SideWaiting():
                self._log.info(
                    "side waiting", pair=event.pair, **drop_empty(client=self._shown(event.client))
                )
            case PairJoined():
                self._log.info(
                    "pair joined",
                    pair=event.pair,
                    wait_time=rounded(event.wait_time),
                    **drop_empty(client=self._shown(event.client)),
                )
            case TextDropped():
                self._limited(
                    "text", self._log.info, "text dropped", pair=event.pair, side=event.side
                )
            case TakeoverChecked():
                # The eviction that follows an unanswered check is logged as the end of a pair.
                self._limited(
                    "takeover",
                    self._log.info,
                    "takeover checked",
                    pair=event.pair,
                    answered=event.answered,
                )
            case ProxyNotTrusted():
                self._log_untrusted(event.peer)
            case TlsHandshakeFailed():
                self._log_handshake_failed(event)
            case _:
                self._log_stopping(event)

    def _log_ended(self, ended: PairEnded) -> None:
        """Log the end of a pair, with fewer fields if side B never joined."""
        a, b = map(self._shown, ended.clients)
        if not ended.joined:
            self._log.info(
                "waiting ended",
                pair=ended.pair,
                outcome=ended.outcome.label,
                wait_time=rounded(ended.wait_time),
                **drop_empty(client_a=a),
            )
            return
        self._log.info(
            "pair ended",
            pair=ended.pair,
            outcome=ended.outcome.label,
            wait_time=rounded(ended.wait_time),
            duration=rounded(ended.duration),
            bytes_a=ended.bytes[0],
            bytes_b=ended.bytes[1],
            messages_a=ended.messages[0],
            messages_b=ended.messages[1],
            **drop_empty(
                text_messages_dropped_a=ended.text_messages_dropped[0],
                text_messages_dropped_b=ended.text_messages_dropped[1],
                blocked_time_a=rounded(ended.blocked_time[0]),
                blocked_time_b=rounded(ended.blocked_time[1]),
                client_a=a,
                client_b=b,
            ),
        )

    def _log_refused(self, refused: RequestRefused) -> None:
        # Client errors need no action by the operator, but a full relay may.
        server_error = refused.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        log = self._log.warning if server_error else self._log.info
        self._limited(
            refused.status,
            log,
            "refused",
            status=int(refused.status),  # the console would show an enum name
            reason=refused.reason,
            **drop_empty(
                detail=refused.detail, pair=refused.pair, client=self._shown(refused.client)
            ),
        )

    def _log_handshake_failed(self, failed: TlsHandshakeFailed) -> None:
        self._limited(
            failed.kind,
            self._log.debug,
            "tls handshake failed",
            kind=failed.kind.value,
            **drop_empty(detail=failed.detail, client=self._shown(failed.client)),
        )

    def _log_untrusted(self, peer: str) -> None:
        """Warn about an untrusted proxy, if log lines or limits depend on client addresses."""
        if self._needs_addresses:
            shown = peer if peer == UNIX else self._shown(peer)
            self._log.warning(
                "proxy not trusted",
                **drop_empty(peer=shown),
                why="its X-Forwarded-For is ignored; if this is your proxy, set trusted_proxies",
            )

    def _log_stopping(self, stopping: RelayStopping) -> None:
        suppressed = sum(each.take_suppressed() for each in self._buckets.values())
        self._log.info(
            "stopping",
            pairs=stopping.pairs,
            waiting=stopping.waiting,
            **drop_empty(suppressed=suppressed),
        )

    def _shown(self, client: str) -> str:
        """Return a client address in the form that ``log_addresses`` permits, or ""."""
        return redact_address(client, self._addresses)

    def _limited(
        self, kind: int | str, log: Callable[..., None], event: str, /, **fields: Any
    ) -> None:
        """Log a line that any client can cause, unless ``kind`` has reached its rate limit."""
        now = self._clock()
        bucket = self._buckets.setdefault(kind, TokenBucket(now))
        if bucket.take(now):
            log(event, **fields, **drop_empty(suppressed=bucket.take_suppressed()))


class TokenBucket:
    """Token bucket for log lines, which also counts the suppressed lines."""

    def __init__(self, now: float) -> None:
        self._left = BURST
        self._since = now
        self._suppressed = 0

    def take(self, now: float) -> bool:
        """Return True if a token is left, and take it. Otherwise, count a suppressed line.

        ``now`` is a monotonic time in seconds.
        """
        self._left = min(BURST, self._left + (now - self._since) * REFILL_PER_SECOND)
        self._since = now
        if self._left < 1:
            self._suppressed += 1
            return False
        self._left -= 1
        return True

    def take_suppressed(self) -> int:
        """Return the number of lines that were suppressed since the last call."""
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed
