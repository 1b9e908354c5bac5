"""A side to be visited, whose rules are then seen without a stream, a clock or a relay."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import cycle

from hypothesis import strategies as st

from relay import RelaySettings
from relay.pairing.keepalive import KeepaliveResult, KeepaliveState

CAME = 1000.0
INTERVAL, TIMEOUT, STALL = 16.0, 20.0, 48.0
STEP = 1.0
"""Between two visits, as `check_interval` has it for these."""
SETTINGS = RelaySettings(ping_interval=INTERVAL, ping_timeout=TIMEOUT, stall_timeout=STALL)
ROUNDING = 1e-6

FINE, PING = KeepaliveResult.OK, KeepaliveResult.PING
UNRESPONSIVE, STALLED = KeepaliveResult.UNRESPONSIVE, KeepaliveResult.STALLED

lucks = st.floats(0, 1)
gaps = st.lists(st.floats(0.3, STEP), min_size=1, max_size=30)
"""Seconds between visits, which are repeated for as long as it takes."""


@dataclass
class Side:
    """A side that is visited, and what can be seen of it: the fields of a `Line`."""

    luck: float = 0.5
    settings: RelaySettings = SETTINGS
    now: float = CAME
    received: int = 0
    pending: int = 0
    alone: bool = False
    reading_paused: bool = False
    write_blocked: bool = False
    unsent_bytes: int = 0
    taken: int = 0
    unanswered: float = 0.0
    vain: int = 0
    keepalive: KeepaliveState = field(init=False)

    def __post_init__(self) -> None:
        self.keepalive = KeepaliveState(self.luck, self.now)

    @property
    def ack_state(self) -> tuple[int, float, int]:
        return self.taken, self.unanswered, self.vain

    def visit(self, after: float = STEP) -> KeepaliveResult:
        """Visit the side so many seconds after the last time."""
        self.now += after
        return self.keepalive.check(
            self,
            self.settings,
            self.now,
            received=self.received,
            reading_paused=self.reading_paused,
            alone=self.alone,
        )

    def visits(self, seconds: float, steps: list[float] | None = None) -> list[KeepaliveResult]:
        """Visit the side for so many seconds, or until it is given up."""
        verdicts: list[KeepaliveResult] = []
        until = self.now + seconds
        for step in cycle(steps or [STEP]):
            if self.now + step > until or (verdicts and verdicts[-1] in {UNRESPONSIVE, STALLED}):
                break
            verdicts.append(self.visit(step))
        return verdicts
