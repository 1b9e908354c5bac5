"""A side that cannot be heard, or to which much is on its way, is not taken for dead."""

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
    """A side that the relay does not read."""

    @given(luck=lucks, steps=gaps, silent=st.floats(0, INTERVAL + TIMEOUT - STEP))
    def test_does_not_count(self, luck: float, steps: list[float], silent: float) -> None:
        """The time in which it is not read does not count, whether it had been pinged or not."""
        side = Side(luck)
        side.visits(min(silent, 0.75 * INTERVAL + TIMEOUT - STEP), steps)
        side.reading_paused = True
        assert set(side.visits(1000, steps)) == {FINE}
        side.reading_paused = False
        assert PING not in side.visits(0.8 * INTERVAL, steps)

    def test_counts_afterwards(self) -> None:
        """Once it is read again, silence counts from there, as for any other."""
        side = Side(luck=0, reading_paused=True)
        side.visits(1000)
        side.reading_paused = False
        assert side.visits(13) == [FINE] * 12 + [PING]
        assert side.visits(TIMEOUT) == [FINE] * 19 + [UNRESPONSIVE]

    def test_is_not_stalled(self) -> None:
        """A side without waiting data accepts nothing, and is not stalled."""
        side = Side(reading_paused=True)
        assert set(side.visits(1000)) == {FINE}

    def test_gone(self) -> None:
        """It is ended if its system does not acknowledge what it was sent."""
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
        """It is not counted from before there was anything to acknowledge."""
        side = Side()
        for _ in range(300):
            side.received += 1
            side.visit()
        side.reading_paused, side.unanswered, side.vain = True, 600.0, 9
        assert set(side.visits(TIMEOUT / 2 - STEP)) == {FINE}
        assert side.visits(1000) == [UNRESPONSIVE]


class TestBlocked:
    """A side for which frames wait because its connection has no room."""

    @given(luck=lucks, steps=gaps, period=st.floats(0, STALL - 2 * STEP))
    def test_slow(self, luck: float, steps: list[float], period: float) -> None:
        """Whoever takes something now and then is neither pinged nor ended, for ever."""
        side, took_at = Side(luck, write_blocked=True), CAME
        for step in (steps * 400)[:400]:
            if side.now + step - took_at >= period:
                side.taken, took_at = side.taken + 1, side.now + step
            assert side.visit(step) is FINE

    @given(luck=lucks, steps=gaps, free=st.integers(0, 30), taken=st.integers(0, 3))
    def test_stall(self, luck: float, steps: list[float], free: int, taken: int) -> None:
        """Whoever takes nothing for stall_timeout while data waits is ended, and not before."""
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

    def test_data_waited_before(self) -> None:
        """The time counts from when data waits, not from when the side took something."""
        side = Side(settings=RelaySettings(ping_interval=0, stall_timeout=STALL))
        side.write_blocked = True
        assert set(side.visits(STALL - 1)) == {FINE}
        side.write_blocked = False
        assert set(side.visits(10)) == {FINE}
        side.write_blocked = True
        assert side.visits(1000) == [FINE] * int(STALL) + [STALLED]

    def test_off(self) -> None:
        """With stall_timeout 0 a side may take nothing for ever, if its system is there."""
        side = Side(write_blocked=True, settings=RelaySettings(ping_interval=16, stall_timeout=0))
        assert set(side.visits(10_000)) == {FINE}

    def test_pong_is_not_expected(self) -> None:
        """A pong that is late when data begins to wait is not missed any more."""
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
    def test_gone(
        self,
        luck: float,
        steps: list[float],
        blocked_after: float,
        unread: bool,
        retransmission: float,
    ) -> None:
        """Whoever is gone is ended within the same time, though no pong can be expected."""
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
    """A side that was pinged while its system, or the relay's, still had data for it."""

    def pinged(self, settings: RelaySettings = SETTINGS) -> Side:
        """Return a side that was just pinged."""
        side = Side(0, settings, unsent_bytes=1000)
        assert side.visits(13)[-1] is PING
        return side

    def test_slow(self) -> None:
        """It is not ended while it takes something, and not pinged again."""
        side = self.pinged()
        for number in range(1000):
            side.taken = number // int(STALL - 1)
            assert side.visit() is FINE

    def test_taken(self) -> None:
        """Once it has taken all, the answer is due, within ping_timeout."""
        side = self.pinged()
        assert set(side.visits(STALL - 1)) == {FINE}
        side.unsent_bytes = 0
        assert side.visits(1000) == [FINE] * 19 + [UNRESPONSIVE]

    def test_answer(self) -> None:
        """An answer begins it anew."""
        side = self.pinged()
        assert set(side.visits(STALL - 1)) == {FINE}
        side.received += 1
        assert side.visits(13) == [FINE] * 12 + [PING]

    def test_what_comes_later(self) -> None:
        """Data that comes behind the ping is no excuse."""
        side = Side(luck=0)
        assert side.visits(13)[-1] is PING
        side.unsent_bytes = 1000
        assert side.visits(1000) == [FINE] * 19 + [UNRESPONSIVE]

    def test_stall(self) -> None:
        """It is ended if it takes nothing for stall_timeout."""
        assert self.pinged().visits(1000) == [FINE] * int(STALL) + [STALLED]

    @given(
        luck=lucks,
        steps=gaps,
        sent_after=st.floats(0, INTERVAL),
        retransmission=st.floats(0.2, TIMEOUT / 2 - 2 * STEP),
    )
    def test_gone(
        self, luck: float, steps: list[float], sent_after: float, retransmission: float
    ) -> None:
        """Whoever is gone is ended within the same time, with data on its way at any moment."""
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
    """Sides whose data waits for a relay that is behind with its reading."""

    def test_is_not_judged(self) -> None:
        """No side is given up while something of it is there that the relay has not read."""
        side = Side()
        assert PING in side.visits(INTERVAL)
        side.pending = 1
        assert set(side.visits(10 * TIMEOUT)) == {FINE}
        side.pending = 0
        assert side.visit() is UNRESPONSIVE


class TestWaits:
    """Sides that wait for their peer, and are not read because they sent much."""

    def test_is_pinged(self) -> None:
        """Such a side is pinged at each interval, and never given up for its silence."""
        side = Side(reading_paused=True, alone=True)
        verdicts = side.visits(10 * INTERVAL)
        assert set(verdicts) == {FINE, PING}
        assert verdicts.count(PING) in (10, 11, 12)

    def test_has_no_room(self) -> None:
        """It is not pinged while there is no room for that."""
        side = Side(reading_paused=True, alone=True, write_blocked=True)
        assert PING not in side.visits(STALL - STEP)

    def test_off(self) -> None:
        """Without an interval it is never pinged."""
        side = Side(settings=RelaySettings(ping_interval=0), reading_paused=True, alone=True)
        assert set(side.visits(1000)) == {FINE}

    def test_with_a_peer(self) -> None:
        """A ping could reset the connection of a side that left, and lose data of its peer."""
        side = Side(reading_paused=True, alone=False)
        assert set(side.visits(10 * INTERVAL)) == {FINE}
