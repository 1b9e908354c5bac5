"""A side that is not read, or that has much unsent data, is not ended as unresponsive."""

from __future__ import annotations

from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import RelaySettings
from tests.support.keepalive_fakes import (
    INTERVAL,
    OK,
    PING,
    ROUNDING,
    SETTINGS,
    STALL,
    STALLED,
    START,
    STEP,
    TIMEOUT,
    UNRESPONSIVE,
    Side,
    gaps,
    jitters,
)


class TestUnread:
    """Side that the relay does not read."""

    @given(jitter=jitters, steps=gaps, silent=st.floats(0, INTERVAL + TIMEOUT - STEP))
    def test_time_does_not_count(self, jitter: float, steps: list[float], silent: float) -> None:
        """The time in which the side is not read does not count, with or without a ping."""
        side = Side(jitter)
        side.check_for(min(silent, 0.75 * INTERVAL + TIMEOUT - STEP), steps)
        side.reading_paused = True
        assert set(side.check_for(1000, steps)) == {OK}
        side.reading_paused = False
        assert PING not in side.check_for(0.8 * INTERVAL, steps)

    def test_time_counts_afterwards(self) -> None:
        """Once the side is read again, its silence counts from then on."""
        side = Side(jitter=0, reading_paused=True)
        side.check_for(1000)
        side.reading_paused = False
        assert side.check_for(13) == [OK] * 12 + [PING]
        assert side.check_for(TIMEOUT) == [OK] * 19 + [UNRESPONSIVE]

    def test_is_not_stalled(self) -> None:
        """A side without waiting data accepts nothing, and is not stalled."""
        side = Side(reading_paused=True)
        assert set(side.check_for(1000)) == {OK}

    def test_dead(self) -> None:
        """The side is ended if its kernel does not acknowledge data."""
        side = Side(reading_paused=True, unacked_probes=2)
        verdict, since = OK, side.now
        while verdict is OK:
            side.seconds_since_ack = side.now + STEP - since
            verdict = side.check()
        assert verdict is UNRESPONSIVE
        assert side.now - since <= INTERVAL + TIMEOUT

    @pytest.mark.parametrize("blocked", [False, True])
    @pytest.mark.parametrize(("unacked_probes", "checks"), [(9, 1), (9, 5), (9, 9), (1, 49)])
    def test_outage(self, blocked: bool, unacked_probes: int, checks: int) -> None:
        """A short outage, or one lost packet, ends no side, whenever the last acknowledgement was.

        A kernel without room is probed so rarely that one lost packet may silence it for long.
        """
        side = Side(reading_paused=True, write_blocked=blocked)
        for number in range(300):
            side.acked_bytes = number // 10
            out = number % 50 > 49 - checks
            side.seconds_since_ack, side.unacked_probes = (
                (600.0, unacked_probes) if out else (0.0, 0)
            )
            assert side.check() is OK

    def test_outage_at_first(self) -> None:
        """The time does not count from before there was unacknowledged data."""
        side = Side()
        for _ in range(300):
            side.received += 1
            side.check()
        side.reading_paused, side.seconds_since_ack, side.unacked_probes = True, 600.0, 9
        assert set(side.check_for(TIMEOUT / 2 - STEP)) == {OK}
        assert side.check_for(1000) == [UNRESPONSIVE]


class TestBlocked:
    """Side whose frames wait because its socket has no room."""

    @given(jitter=jitters, steps=gaps, period=st.floats(0, STALL - 2 * STEP))
    def test_slow(self, jitter: float, steps: list[float], period: float) -> None:
        """A side that accepts something now and then is neither pinged nor ended."""
        side, took_at = Side(jitter, write_blocked=True), START
        for step in (steps * 400)[:400]:
            if side.now + step - took_at >= period:
                side.acked_bytes, took_at = side.acked_bytes + 1, side.now + step
            assert side.check(step) is OK

    @given(jitter=jitters, steps=gaps, free=st.integers(0, 30), acked_bytes=st.integers(0, 3))
    def test_stall(self, jitter: float, steps: list[float], free: int, acked_bytes: int) -> None:
        """A side that accepts nothing for stall_timeout while data waits is ended then."""
        side = Side(jitter, settings=RelaySettings(ping_interval=0, stall_timeout=STALL))
        for step in (steps * free)[:free]:
            side.check(step)
        side.write_blocked, took_at = True, side.now
        for _ in range(acked_bytes):
            side.acked_bytes += 1
            assert side.check(steps[0]) is OK
            took_at = side.now
        verdicts = side.check_for(10 * STALL, steps)
        assert verdicts[-1] is STALLED
        assert STALL - ROUNDING <= side.now - took_at <= STALL + 2 * STEP + ROUNDING

    def test_time_since_data_waits(self) -> None:
        """The time counts since data waits, not since the side accepted something."""
        side = Side(settings=RelaySettings(ping_interval=0, stall_timeout=STALL))
        side.write_blocked = True
        assert set(side.check_for(STALL - 1)) == {OK}
        side.write_blocked = False
        assert set(side.check_for(10)) == {OK}
        side.write_blocked = True
        assert side.check_for(1000) == [OK] * int(STALL) + [STALLED]

    def test_no_stall_timeout(self) -> None:
        """With stall_timeout 0 a side may accept nothing for any time, if its kernel is alive."""
        side = Side(write_blocked=True, settings=RelaySettings(ping_interval=16, stall_timeout=0))
        assert set(side.check_for(10_000)) == {OK}

    def test_pong_is_not_expected(self) -> None:
        """A late pong is not missed any more once data waits."""
        side = Side(jitter=0)
        assert side.check_for(13 + TIMEOUT - 1).count(PING) == 1
        side.write_blocked = True
        side.check_for(STALL - 1)
        side.write_blocked = False
        assert side.check_for(13) == [OK] * 12 + [PING]

    @given(
        jitter=jitters,
        steps=gaps,
        blocked_after=st.floats(0, INTERVAL),
        unread=st.booleans(),
        retransmission=st.floats(0.2, TIMEOUT / 2 - 2 * STEP),
    )
    def test_dead(
        self,
        jitter: float,
        steps: list[float],
        blocked_after: float,
        unread: bool,
        retransmission: float,
    ) -> None:
        """A dead side is ended within the same time, although no pong can be expected."""
        settings = RelaySettings(
            ping_interval=INTERVAL, ping_timeout=TIMEOUT, stall_timeout=10 * STALL
        )
        side = Side(jitter, settings, reading_paused=unread)
        verdict = OK
        for step in cycle(steps):
            at = side.now + step - START
            side.write_blocked = at >= blocked_after
            if at >= blocked_after + retransmission:
                side.seconds_since_ack, side.unacked_probes = at, 2
            verdict = side.check(step)
            if verdict is UNRESPONSIVE:
                break
        ended = side.now - START
        slack = max(0.0, blocked_after + retransmission + 2 * STEP - INTERVAL - TIMEOUT / 2)
        assert ended >= 0.75 * INTERVAL + TIMEOUT
        assert ended <= INTERVAL + TIMEOUT + slack + ROUNDING


class TestQueued:
    """Side that was pinged behind unacknowledged data."""

    def pinged(self, settings: RelaySettings = SETTINGS) -> Side:
        """Return a side that was just pinged."""
        side = Side(0, settings, unsent_bytes=1000)
        assert side.check_for(13)[-1] is PING
        return side

    def test_slow(self) -> None:
        """The side is not ended while it accepts something, and not pinged again."""
        side = self.pinged()
        for number in range(1000):
            side.acked_bytes = number // int(STALL - 1)
            assert side.check() is OK

    def test_all_data_accepted(self) -> None:
        """Once the side has accepted all data, its pong is due within ping_timeout."""
        side = self.pinged()
        assert set(side.check_for(STALL - 1)) == {OK}
        side.unsent_bytes = 0
        assert side.check_for(1000) == [OK] * 19 + [UNRESPONSIVE]

    def test_answer(self) -> None:
        """A pong restarts the time."""
        side = self.pinged()
        assert set(side.check_for(STALL - 1)) == {OK}
        side.received += 1
        assert side.check_for(13) == [OK] * 12 + [PING]

    def test_later_data(self) -> None:
        """Data behind the ping is no excuse."""
        side = Side(jitter=0)
        assert side.check_for(13)[-1] is PING
        side.unsent_bytes = 1000
        assert side.check_for(1000) == [OK] * 19 + [UNRESPONSIVE]

    def test_stall(self) -> None:
        """The side is ended if it accepts nothing for stall_timeout."""
        assert self.pinged().check_for(1000) == [OK] * int(STALL) + [STALLED]

    @given(
        jitter=jitters,
        steps=gaps,
        sent_after=st.floats(0, INTERVAL),
        retransmission=st.floats(0.2, TIMEOUT / 2 - 2 * STEP),
    )
    def test_dead(
        self, jitter: float, steps: list[float], sent_after: float, retransmission: float
    ) -> None:
        """A dead side is ended within the same time, with data unacknowledged at any moment."""
        side = Side(jitter)
        verdict = OK
        for step in cycle(steps):
            at = side.now + step - START
            side.unsent_bytes = 10 * (at >= sent_after)
            if at >= sent_after + retransmission:
                side.seconds_since_ack, side.unacked_probes = at, 2
            verdict = side.check(step)
            if verdict is UNRESPONSIVE:
                break
        assert side.now - START >= 0.75 * INTERVAL + TIMEOUT
        assert side.now - START <= INTERVAL + TIMEOUT + ROUNDING


class TestUnheard:
    """Sides with unread bytes in the kernel of a busy relay."""

    def test_unread_bytes(self) -> None:
        """A side with bytes that the relay has not read is not ended."""
        side = Side()
        assert PING in side.check_for(INTERVAL)
        side.pending = 1
        assert set(side.check_for(10 * TIMEOUT)) == {OK}
        side.pending = 0
        assert side.check() is UNRESPONSIVE


class TestWaits:
    """Sides that wait for their peer, and are not read because they sent too much."""

    def test_is_pinged(self) -> None:
        """The side is pinged at each interval, and never ended for its silence."""
        side = Side(reading_paused=True, alone=True)
        verdicts = side.check_for(10 * INTERVAL)
        assert set(verdicts) == {OK, PING}
        assert verdicts.count(PING) in (10, 11, 12)

    def test_no_room(self) -> None:
        """The side is not pinged while its socket has no room."""
        side = Side(reading_paused=True, alone=True, write_blocked=True)
        assert PING not in side.check_for(STALL - STEP)

    def test_no_pings(self) -> None:
        """Without an interval the side is never pinged."""
        side = Side(settings=RelaySettings(ping_interval=0), reading_paused=True, alone=True)
        assert set(side.check_for(1000)) == {OK}

    def test_with_a_peer(self) -> None:
        """A joined side is not pinged, because a reset of its connection could lose data."""
        side = Side(reading_paused=True, alone=False)
        assert set(side.check_for(10 * INTERVAL)) == {OK}
