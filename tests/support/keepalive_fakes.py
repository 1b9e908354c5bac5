"""A side for the rules of keepalive, without a stream, a clock or a relay."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import cycle

from hypothesis import strategies as st

from relay import RelaySettings
from relay.outcomes import Outcome
from relay.pairing.keepalive import KeepaliveResult, KeepaliveState
from relay.pairing.stall import is_stalled

START = 1000.0
INTERVAL, TIMEOUT, STALL = 16.0, 20.0, 48.0
STEP = 1.0
"""Seconds between two checks, as `check_interval` returns for these timeouts."""
SETTINGS = RelaySettings(ping_interval=INTERVAL, ping_timeout=TIMEOUT, stall_timeout=STALL)
ROUNDING = 1e-6

Verdict = KeepaliveResult | Outcome
OK: Verdict = KeepaliveResult.OK
PING: Verdict = KeepaliveResult.PING
UNRESPONSIVE: Verdict = KeepaliveResult.UNRESPONSIVE
STALLED: Verdict = Outcome.STALLED

jitters = st.floats(0, 1)
gaps = st.lists(st.floats(0.3, STEP), min_size=1, max_size=30)
"""Seconds between checks, which are repeated as often as necessary."""


@dataclass
class Side:
    """Side with the fields that `KeepaliveState.check` reads."""

    jitter: float = 0.5
    settings: RelaySettings = SETTINGS
    now: float = START
    received: int = 0
    pending: int = 0
    alone: bool = False
    reading_paused: bool = False
    write_blocked: bool = False
    unsent_bytes: int = 0
    acked_bytes: int = 0
    seconds_since_ack: float = 0.0
    unacked_probes: int = 0
    keepalive: KeepaliveState = field(init=False)

    def __post_init__(self) -> None:
        self.keepalive = KeepaliveState(self.jitter, self.now)

    @property
    def ack_state(self) -> tuple[int, float, int]:
        return self.acked_bytes, self.seconds_since_ack, self.unacked_probes

    def check(self, after: float = STEP) -> Verdict:
        """Check the side this number of seconds after the last check."""
        self.now += after
        result = self.keepalive.check(
            self,
            self.settings,
            self.now,
            received=self.received,
            reading_paused=self.reading_paused,
            alone=self.alone,
        )
        stalled = is_stalled(self.keepalive, self.settings.stall_timeout, self.now)
        return STALLED if stalled and result is not PING else result

    def check_for(self, seconds: float, steps: list[float] | None = None) -> list[Verdict]:
        """Check the side for this number of seconds, or until it is ended."""
        verdicts: list[Verdict] = []
        until = self.now + seconds
        for step in cycle(steps or [STEP]):
            if self.now + step > until or (verdicts and verdicts[-1] in {UNRESPONSIVE, STALLED}):
                break
            verdicts.append(self.check(step))
        return verdicts
