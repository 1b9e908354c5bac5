"""Limits in force, for the summary and the metrics."""

from __future__ import annotations

from typing import Final

from ..settings import RelaySettings

LIMITS: Final = (
    "max_waiting",
    "max_connections_per_client",
    "max_connects_per_minute",
    "max_bytes_per_second",
    "max_pair_bytes",
    "max_pair_seconds",
)
"""Settings that are limits, and are off at 0. `max_connections` has a derived default."""


def effective_limits(settings: RelaySettings, max_connections: int) -> dict[str, float]:
    """Return each limit in force by the name of its setting, without limits that are off.

    ``max_connections`` is the value in force, which the setting or the descriptor limit decides.
    """
    limits = {"max_connections": max_connections}
    limits.update((name, getattr(settings, name)) for name in LIMITS)
    return {name: value for name, value in limits.items() if value}
