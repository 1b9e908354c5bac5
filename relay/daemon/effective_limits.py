"""Determine the limits in force, which the summary and the metrics report."""

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
"""Names of the settings whose value is used as the limit without change; 0 means no limit.

``max_connections`` is not among them, because its default is derived from the descriptor limit.
"""


def effective_limits(settings: RelaySettings, max_connections: int) -> dict[str, float]:
    """Return the limits in force, keyed by the names of their settings; omit limits that are off.

    ``max_connections`` is the value in force, from the setting or from the descriptor limit.
    """
    limits = {"max_connections": max_connections}
    limits.update((name, getattr(settings, name)) for name in LIMITS)
    return {name: value for name, value in limits.items() if value}
