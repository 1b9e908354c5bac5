"""The end of a pair, seen by its sides and by the table of codes."""

from __future__ import annotations

import pytest

from relay import Outcome
from relay.pairing.pair import Pair
from relay.pairing.rendezvous import Rendezvous
from tests.support.fake_side import FakeSide


def joined(table: Rendezvous) -> tuple[Pair, FakeSide, FakeSide]:
    """Return a joined pair and its sides."""
    a, b = FakeSide("a"), FakeSide("b")
    pair = table.join("code", a, 0.0)
    assert table.join("code", b, 0.0) is pair
    return pair, a, b


def test_sides() -> None:
    """A pair has one side until the other one joins."""
    alone = FakeSide()
    assert Rendezvous().join("code", alone, 0.0).sides == (alone,)
    pair, a, b = joined(Rendezvous())
    assert pair.sides == (a, b)


@pytest.mark.parametrize("cause", [None, 0, 1])
def test_end_closes_both_sides(cause: int | None) -> None:
    """The side that caused the end gets the close frame for the cause, its peer the other one."""
    table = Rendezvous()
    pair, *sides = joined(table)
    pair.end(Outcome.STALLED, None if cause is None else sides[cause])
    assert len(table) == 0
    assert pair.outcome is Outcome.STALLED
    for number, side in enumerate(sides):
        caused = number == cause
        expected = Outcome.STALLED.close_for_cause if caused else Outcome.STALLED.close_for_peer
        assert side.closes == [expected]


def test_first_end_decides() -> None:
    """A further end keeps the outcome, and frees no code of a newer pair."""
    table = Rendezvous()
    pair, _, _ = joined(table)
    pair.end(Outcome.EVICTED)
    newer = table.join("code", FakeSide(), 1.0)
    pair.end(Outcome.BROKEN)
    assert pair.outcome is Outcome.EVICTED
    assert table.find("code") is newer
    assert newer.outcome is None
