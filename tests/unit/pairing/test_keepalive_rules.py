"""Rules by which a side that the relay reads is pinged, and ended as unresponsive."""

from __future__ import annotations

from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import RelaySettings
from relay.pairing.keepalive import check_interval
from tests.support.keepalive_fakes import (
    INTERVAL,
    OK,
    PING,
    ROUNDING,
    STALL,
    START,
    STEP,
    TIMEOUT,
    UNRESPONSIVE,
    Side,
    Verdict,
    gaps,
    jitters,
)


@pytest.mark.parametrize(
    ("ping", "stall", "expected"),
    [(16, 0, 1.0), (0, 48, 3.0), (16, 48, 1.0), (160, 48, 3.0), (0, 0, None)],
)
def test_check_interval(ping: float, stall: float, expected: float | None) -> None:
    """Checks are a sixteenth of the shorter timeout apart; without timeouts there are none."""
    settings = RelaySettings(ping_interval=ping, stall_timeout=stall)
    assert check_interval(settings) == expected


def test_jitter_spreads_pings() -> None:
    """Silent sides that joined together are not all pinged at the same check."""
    first = [Side(jitter).check_for(INTERVAL).index(PING) for jitter in (0, 0.5, 1)]
    assert first == [12, 13, 13]  # after 13, 14, 14 seconds


class TestSilence:
    """Side that the relay reads."""

    @given(jitter=jitters, steps=gaps, heard=st.floats(0, 1), before=st.integers(0, 100))
    def test_ping(self, jitter: float, steps: list[float], heard: float, before: int) -> None:
        """The first ping follows 0.75 to 1.0 of ping_interval of silence."""
        side = Side(jitter)
        for _, step in zip(range(before), cycle(steps), strict=False):
            side.received += 1
            assert side.check(step) is OK
        heard_at = side.now + heard * steps[0]
        if before:
            side.received += 1
        else:
            heard_at = START
        verdicts = side.check_for(10 * INTERVAL, steps)
        silence = self.time_of(PING, verdicts, steps, side) - heard_at
        assert 0.75 * INTERVAL - ROUNDING <= silence <= INTERVAL + ROUNDING

    @given(jitter=jitters, steps=gaps, heard=st.floats(0, 1))
    def test_unresponsive(self, jitter: float, steps: list[float], heard: float) -> None:
        """A side is ended at most ping_interval + ping_timeout after its last byte."""
        side = Side(jitter)
        heard_at = side.now + heard * steps[0]
        side.received += 1
        verdicts = side.check_for(10 * INTERVAL, steps)
        assert verdicts.count(PING) == 1
        pinged_at = self.time_of(PING, verdicts, steps, side)
        assert verdicts[-1] is UNRESPONSIVE
        assert side.now >= pinged_at + TIMEOUT - ROUNDING
        assert side.now <= heard_at + INTERVAL + TIMEOUT + ROUNDING

    @given(jitter=jitters, steps=st.lists(st.floats(0.3, 2 * STEP), min_size=1, max_size=30))
    def test_late_checks(self, jitter: float, steps: list[float]) -> None:
        """Even with late checks, the ping comes within ping_interval."""
        side = Side(jitter)
        verdicts = side.check_for(INTERVAL, steps)
        assert PING in verdicts

    @given(jitter=jitters, steps=gaps, period=st.floats(0, 0.75 * INTERVAL - STEP))
    def test_anything_received(self, jitter: float, steps: list[float], period: float) -> None:
        """A side that sends data often enough is never pinged."""
        side, heard_at = Side(jitter), START
        for step in (steps * 400)[:400]:
            if side.now + step - heard_at >= period:
                side.received, heard_at = side.received + 1, side.now + step
            assert side.check(step) is OK

    @given(jitter=jitters, steps=gaps, delay=st.floats(0, TIMEOUT - STEP))
    def test_answers(self, jitter: float, steps: list[float], delay: float) -> None:
        """A side that answers its pings in time stays."""
        side, pings, answer_at = Side(jitter), 0, None
        for step in (steps * 1000)[:1000]:
            if answer_at is not None and side.now + step >= answer_at:
                side.received, answer_at = side.received + 1, None
            verdict = side.check(step)
            assert verdict in {OK, PING}
            if verdict is PING:
                assert answer_at is None
                pings, answer_at = pings + 1, side.now + delay
        assert pings >= 1000 * 0.3 / (INTERVAL + TIMEOUT) - 1

    def test_answer_restarts_the_interval(self) -> None:
        """After a pong the side may be silent for as long as before."""
        side = Side(jitter=0)
        assert side.check_for(13)[-1] is PING
        assert side.check_for(19) == [OK] * 19
        side.received += 1
        # What was heard is taken to be as old as the visit before.
        assert side.check_for(13) == [OK] * 12 + [PING]
        assert side.check_for(INTERVAL + TIMEOUT) == [OK] * 19 + [UNRESPONSIVE]

    def test_no_pings(self) -> None:
        """With ping_interval 0 no side is pinged, or ended for its silence."""
        off = RelaySettings(ping_interval=0, ping_timeout=1, stall_timeout=STALL)
        side = Side(settings=off)
        assert set(side.check_for(10_000)) == {OK}
        side.seconds_since_ack, side.unacked_probes, side.reading_paused = 9999.0, 9, True
        assert set(side.check_for(10_000)) == {OK}
        side.write_blocked = True
        for _ in range(10_000):
            side.acked_bytes += 1
            assert side.check() is OK

    @staticmethod
    def time_of(verdict: Verdict, verdicts: list[Verdict], steps: list[float], side: Side) -> float:
        """Return the time of a verdict in the latest checks."""
        after = len(verdicts) - verdicts.index(verdict) - 1
        times = [step for step, _ in zip(cycle(steps), verdicts, strict=False)]
        return side.now - sum(times[len(times) - after :])
