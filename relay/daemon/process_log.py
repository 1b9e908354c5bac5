"""Log lines about the process that runs a relay: its start, files, signals and end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from ..fields import non_defaults
from ..server.statistics import RelayStatistics
from .certificate_expiry import Certificate
from .log_fields import as_text, drop_empty, rounded

DAY: Final = 86400.0

FEW_DAYS: Final = 14.0
"""A certificate that expires within this number of days is logged at level warning."""


def log_started(  # noqa: PLR0913 - the fields of the line
    log: FilteringBoundLogger,
    addresses: Iterable[str],
    *,
    version: str,
    pid: int,
    ipv6: bool | None = None,
    metrics: Iterable[str] = (),
) -> None:
    """Log that the relay accepts connections, with its addresses and the URLs of its metrics.

    ``ipv6`` is True if a listener serves IPv6, and None if no listener is on TCP.
    """
    log.info(
        "started",
        listening=",".join(addresses),
        **({} if ipv6 is None else {"ipv6": ipv6}),
        **drop_empty(metrics=",".join(metrics)),
        version=version,
        pid=pid,
    )


def log_limits(log: FilteringBoundLogger, limits: Mapping[str, float], *, descriptors: int) -> None:
    """Log the limits in force, and the descriptor limit.

    The descriptor limit explains the default of ``max_connections``, which is derived from it.
    """
    log.info("limits", **drop_empty(descriptors=descriptors), **limits)


def log_settings(log: FilteringBoundLogger, *settings: Any) -> None:
    """Log the settings that differ from their defaults, if there are any."""
    changed = {name: as_text(value) for name, value in non_defaults(*settings)}
    if changed:
        log.info("settings", **changed)


def log_certificate(log: FilteringBoundLogger, certificate: Certificate, now: float) -> None:
    """Log the names and the expiry of a certificate; ``now`` is the Unix time in seconds."""
    days = (certificate.expiry - now) / DAY
    (log.info if days > FEW_DAYS else log.warning)(
        "certificate",
        names=",".join(certificate.names),
        ends=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(certificate.expiry)),
        days=int(days),
    )


def log_weak_token(log: FilteringBoundLogger, weaknesses: Iterable[str]) -> None:
    """Log why strangers could guess or read the token; log nothing if ``weaknesses`` is empty."""
    if why := ", ".join(weaknesses):
        log.warning("weak token", why=why)


def log_signal(log: FilteringBoundLogger, name: str) -> None:
    """Log that a signal arrived; ``name`` is, for example, SIGTERM."""
    log.info("signal", name=name)


def log_reloaded(log: FilteringBoundLogger, what: Iterable[str]) -> None:
    """Log that files were reloaded; ``what`` contains their names, such as ``certificate``."""
    log.info("reloaded", what=",".join(what))


def log_not_reloaded(log: FilteringBoundLogger, what: str, why: str) -> None:
    """Log that a file could not be reloaded, so that its old content stays in force."""
    log.error("not reloaded", what=what, why=why)


def log_stopped(log: FilteringBoundLogger, totals: RelayStatistics, uptime: float) -> None:
    """Log that the relay has ended, with its counters and its uptime in seconds."""
    log.info(
        "stopped",
        uptime=rounded(uptime),
        connections_accepted=totals.connections_accepted,
        pairs_ended=sum(totals.pairs_ended.values()),
        waiting_ended=sum(totals.waiting_ended.values()),
        requests_refused=sum(totals.requests_refused.values()),
        bytes_a=totals.bytes[0],
        bytes_b=totals.bytes[1],
    )
