"""A side that is not read, or that has much unsent data, is not ended as unresponsive."""

from __future__ import annotations

from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import RelaySettings
from tests.support.keepalive_fakes import (
    CAME,
    FINE,
    INTERVAL,
    PING,
    ROUNDING,
    SETTINGS,
    STALL,
    STALLED,
    STEP,
    TIMEOUT,
    UNRESPONSIVE,
    Side,
    gaps,
    lucks,
)


class TestUnread:
    """Side that the relay does not read."""

    @given(luck=lucks, steps=gaps, silent=st.floats(0, INTERVAL + TIMEOUT - STEP))
    def test_time_does_not_count(self, luck: float, steps: list[float], silent: float) -> None:
        """The time in which the side is not read does not count, with or without a ping."""
        side = Side(luck)
        side.visits(min(silent, 0.75 * INTERVAL + TIMEOUT - STEP), steps)
        side.reading_paused = True
        assert set(side.visits(1000, steps)) == {FINE}
        side.reading_paused = False
        assert PING not in side.visits(0.8 * INTERVAL, steps)

    def test_time_counts_afterwards(self) -> None:
        """Once the side is read again, its silence counts from then on."""
        side = Side(luck=0, reading_paused=True)
        side.visits(1000)
        side.reading_paused = False
        assert side.visits(13) == [FINE] * 12 + [PING]
        assert side.visits(TIMEOUT) == [FINE] * 19 + [UNRESPONSIVE]

    def test_is_not_stalled(self) -> None:
        """A side without waiting data accepts nothing, and is not stalled."""
        side = Side(reading_paused=True)
        assert set(side.visits(1000)) == {FINE}

    def test_dead(self) -> None:
        """The side is ended if its kernel does not acknowledge data."""
        side = Side(reading_paused=True, vain=2)
        verdict, since = FINE, side.now
        while verdict is FINE:
            side.unanswered = side.now + STEP - since
            verdict = side.visit()
        assert verdict is UNRESPONSIVE
        assert side.now - since <= INTERVAL + TIMEOUT

    @pytest.mark.parametrize("blocked", [False, True])
    @pytest.mark.parametrize(("vain", "visits"), [(9, 1), (9, 5), (9, 9), (1, 49)])
    def test_outage(self, blocked: bool, vain: int, visits: int) -> None:
        """A short outage, or one lost packet, ends no side, whenever the last acknowledgement was.

        A kernel without room is probed so rarely that one lost packet may silence it for long.
        """
        side = Side(reading_paused=True, write_blocked=blocked)
        for number in range(300):
            side.taken = number // 10
            out = number % 50 > 49 - visits
            side.unanswered, side.vain = (600.0, vain) if out else (0.0, 0)
            assert side.visit() is FINE

    def test_outage_at_first(self) -> None:
        """The time does not count from before there was unacknowledged data."""
        side = Side()
        for _ in range(300):
            side.received += 1
            side.visit()
        side.reading_paused, side.unanswered, side.vain = True, 600.0, 9
        assert set(side.visits(TIMEOUT / 2 - STEP)) == {FINE}
        assert side.visits(1000) == [UNRESPONSIVE]


class TestBlocked:
    """Side whose frames wait because its socket has no room."""

    @given(luck=lucks, steps=gaps, period=st.floats(0, STALL - 2 * STEP))
    def test_slow(self, luck: float, steps: list[float], period: float) -> None:
        """A side that accepts something now and then is neither pinged nor ended."""
        side, took_at = Side(luck, write_blocked=True), CAME
        for step in (steps * 400)[:400]:
            if side.now + step - took_at >= period:
                side.taken, took_at = side.taken + 1, side.now + step
            assert side.visit(step) is FINE

    @given(luck=lucks, steps=gaps, free=st.integers(0, 30), taken=st.integers(0, 3))
    def test_stall(self, luck: float, steps: list[float], free: int, taken: int) -> None:
        """A side that accepts nothing for stall_timeout while data waits is ended then."""
        side = Side(luck, settings=RelaySettings(ping_interval=0, stall_timeout=STALL))
        for step in (steps * free)[:free]:
            side.visit(step)
        side.write_blocked, took_at = True, side.now
        for _ in range(taken):
            side.taken += 1
            assert side.visit(steps[0]) is FINE
            took_at = side.now
        verdicts = side.visits(10 * STALL, steps)
        assert verdicts[-1] is STALLED
        assert STALL - ROUNDING <= side.now - took_at <= STALL + 2 * STEP + ROUNDING

    def test_time_since_data_waits(self) -> None:
        """The time counts since data waits, not since the side accepted something."""
        side = Side(settings=RelaySettings(ping_interval=0, stall_timeout=STALL))
        side.write_blocked = True
        assert set(side.visits(STALL - 1)) == {FINE}
        side.write_blocked = False
        assert set(side.visits(10)) == {FINE}
        side.write_blocked = True
        assert side.visits(1000) == [FINE] * int(STALL) + [STALLED]

    def test_no_stall_timeout(self) -> None:
        """With stall_timeout 0 a side may accept nothing for any time, if its kernel is alive."""
        side = Side(write_blocked=True, settings=RelaySettings(ping_interval=16, stall_timeout=0))
        assert set(side.visits(10_000)) == {FINE}

    def test_pong_is_not_expected(self) -> None:
        """A late pong is not missed any more once data waits."""
        side = Side(luck=0)
        assert side.visits(13 + TIMEOUT - 1).count(PING) == 1
        side.write_blocked = True
        side.visits(STALL - 1)
        side.write_blocked = False
        assert side.visits(13) == [FINE] * 12 + [PING]

    @given(
        luck=lucks,
        steps=gaps,
        blocked_after=st.floats(0, INTERVAL),
        unread=st.booleans(),
        retransmission=st.floats(0.2, TIMEOUT / 2 - 2 * STEP),
    )
    def test_dead(
        self,
        luck: float,
        steps: list[float],
        blocked_after: float,
        unread: bool,
        retransmission: float,
    ) -> None:
        """A dead side is ended within the same time, although no pong can be expected."""
        settings = RelaySettings(
            ping_interval=INTERVAL, ping_timeout=TIMEOUT, stall_timeout=10 * STALL
        )
        side = Side(luck, settings, reading_paused=unread)
        verdict = FINE
        for step in cycle(steps):
            at = side.now + step - CAME
            side.write_blocked = at >= blocked_after
            if at >= blocked_after + retransmission:
                side.unanswered, side.vain = at, 2
            verdict = side.visit(step)
            if verdict is UNRESPONSIVE:
                break
        gone = side.now - CAME
        slack = max(0.0, blocked_after + retransmission + 2 * STEP - INTERVAL - TIMEOUT / 2)
        assert gone >= 0.75 * INTERVAL + TIMEOUT
        assert gone <= INTERVAL + TIMEOUT + slack + ROUNDING


class TestQueued:
    """Side that was pinged behind unacknowledged data."""

    def pinged(self, settings: RelaySettings = SETTINGS) -> Side:
        """Return a side that was just pinged."""
        side = Side(0, settings, unsent_bytes=1000)
        assert side.visits(13)[-1] is PING
        return side

    def test_slow(self) -> None:
        """The side is not ended while it accepts something, and not pinged again."""
        side = self.pinged()
        for number in range(1000):
            side.taken = number // int(STALL - 1)
            assert side.visit() is FINE

    def test_all_data_accepted(self) -> None:
        """Once the side has accepted all data, its pong is due within ping_timeout."""
        side = self.pinged()
        assert set(side.visits(STALL - 1)) == {FINE}
        side.unsent_bytes = 0
        assert side.visits(1000) == [FINE] * 19 + [UNRESPONSIVE]

    def test_answer(self) -> None:
        """A pong restarts the time."""
        side = self.pinged()
        assert set(side.visits(STALL - 1)) == {FINE}
        side.received += 1
        assert side.visits(13) == [FINE] * 12 + [PING]

    def test_later_data(self) -> None:
        """Data behind the ping is no excuse."""
        side = Side(luck=0)
        assert side.visits(13)[-1] is PING
        side.unsent_bytes = 1000
        assert side.visits(1000) == [FINE] * 19 + [UNRESPONSIVE]

    def test_stall(self) -> None:
        """The side is ended if it accepts nothing for stall_timeout."""
        assert self.pinged().visits(1000) == [FINE] * int(STALL) + [STALLED]

    @given(
        luck=lucks,
        steps=gaps,
        sent_after=st.floats(0, INTERVAL),
        retransmission=st.floats(0.2, TIMEOUT / 2 - 2 * STEP),
    )
    def test_dead(
        self, luck: float, steps: list[float], sent_after: float, retransmission: float
    ) -> None:
        """A dead side is ended within the same time, with data unacknowledged at any moment."""
        side = Side(luck)
        verdict = FINE
        for step in cycle(steps):
            at = side.now + step - CAME
            side.unsent_bytes = 10 * (at >= sent_after)
            if at >= sent_after + retransmission:
                side.unanswered, side.vain = at, 2
            verdict = side.visit(step)
            if verdict is UNRESPONSIVE:
                break
        assert side.now - CAME >= 0.75 * INTERVAL + TIMEOUT
        assert side.now - CAME <= INTERVAL + TIMEOUT + ROUNDING


class TestUnheard:
    """Sides with unread bytes in the kernel of a busy relay."""

    def test_unread_bytes(self) -> None:
        """A side with bytes that the relay has not read is not ended."""
        side = Side()
        assert PING in side.visits(INTERVAL)
        side.pending = 1
        assert set(side.visits(10 * TIMEOUT)) == {FINE}
        side.pending = 0
        assert side.visit() is UNRESPONSIVE


class TestWaits:
    """Sides that wait for their peer, and are not read because they sent too much."""

    def test_is_pinged(self) -> None:
        """The side is pinged at each interval, and never ended for its silence."""
        side = Side(reading_paused=True, alone=True)
        verdicts = side.visits(10 * INTERVAL)
        assert set(verdicts) == {FINE, PING}
        assert verdicts.count(PING) in (10, 11, 12)

    def test_no_room(self) -> None:
        """The side is not pinged while its socket has no room."""
        side = Side(reading_paused=True, alone=True, write_blocked=True)
        assert PING not in side.visits(STALL - STEP)

    def test_no_pings(self) -> None:
        """Without an interval the side is never pinged."""
        side = Side(settings=RelaySettings(ping_interval=0), reading_paused=True, alone=True)
        assert set(side.visits(1000)) == {FINE}

    def test_with_a_peer(self) -> None:
        """A joined side is not pinged, because a reset of its connection could lose data."""
        side = Side(reading_paused=True, alone=False)
        assert set(side.visits(10 * INTERVAL)) == {FINE}
