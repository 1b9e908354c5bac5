"""Decide when a side is stalled, that is, accepts none of its unsent data for ``stall_timeout``.

Pure. A side that reads slowly makes progress, so it is not stalled. The keepalive check calls this
module at intervals, and the sweeper ends a stalled side.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Progress:
    """Progress of a side in accepting its unsent data, from one check to the next."""

    acked_bytes: int | None = None
    """Number of acknowledged bytes at the last check; None if no data was unsent at that check."""
    acked_at: float = 0.0
    """Time of the last check with progress or without unsent data."""

    def reset(self) -> None:
        """Forget the last check, because the side has accepted all data."""
        self.acked_bytes = None

    def is_stalled(self, acked_bytes: int, has_unsent: bool, timeout: float, now: float) -> bool:
        """Return True if the side has accepted no data for ``timeout`` seconds.

        Args:
            acked_bytes: Number that changes with each acknowledgement from the side.
            has_unsent: True if data for the side is unsent.
            timeout: Seconds without progress after which a side is stalled; 0 means no limit.
            now: Current time in seconds.
        """
        if acked_bytes != self.acked_bytes or not has_unsent:
            self.acked_bytes, self.acked_at = acked_bytes, now
            return False
        return 0 < timeout <= now - self.acked_at
