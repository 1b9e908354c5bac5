"""Table of the codes: joining, refusals, and the end of a pair."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from relay.pairing.pair import Pair
from relay.pairing.rendezvous import PairFull, Rendezvous
from tests.support.fake_side import FakeSide

FIRST, SECOND, THIRD = FakeSide("first"), FakeSide("second"), FakeSide("third")


def state(table: Rendezvous, *pairs: Pair) -> tuple[object, ...]:
    """Return the visible state of a table and of some of its pairs."""
    return len(table), table.waiting, [(pair.code, pair.a, pair.b, pair.since) for pair in pairs]


def test_first_side_waits() -> None:
    """The first side with a code is side A of a pair without side B."""
    table = Rendezvous()
    pair = table.join("code", FIRST, 7.5)
    assert (pair.code, pair.a, pair.b, pair.since) == ("code", FIRST, None, 7.5)
    assert (len(table), table.waiting) == (1, 1)


def test_second_side_joins_the_first() -> None:
    """The second side with a code becomes side B of the first side's pair."""
    table = Rendezvous()
    pair = table.join("code", FIRST, 1.0)
    assert table.join("code", SECOND, 2.0) is pair
    assert (pair.a, pair.b, pair.since) == (FIRST, SECOND, 1.0)
    assert (len(table), table.waiting) == (1, 0)


def test_third_side_is_refused() -> None:
    """A third side with a code is refused each time, and changes nothing."""
    table = Rendezvous()
    pair = table.join("code", FIRST, 1.0)
    table.join("code", SECOND, 2.0)
    other = table.join("other", FakeSide(), 3.0)
    before = state(table, pair, other)
    for _ in range(2):
        with pytest.raises(PairFull):
            table.join("code", THIRD, 4.0)
        assert state(table, pair, other) == before


def test_one_side_may_have_many_codes() -> None:
    """Codes are compared exactly; sides are not compared."""
    table = Rendezvous()
    codes = ["a", "A", " a", "a ", "\u00e9", "e\u0301", "\0"]
    pairs = {id(table.join(code, FIRST, 0.0)) for code in codes}
    assert len(pairs) == len(table) == table.waiting == len(codes)


@pytest.mark.parametrize("sides", [1, 2])
def test_end_frees_the_code(sides: int) -> None:
    """The end of a pair frees its code; a second end changes nothing."""
    table = Rendezvous()
    pairs = [table.join("code", FakeSide(i), 0.0) for i in range(sides)]
    for pair in (*pairs, *pairs):
        table.free(pair)
        assert (len(table), table.waiting) == (0, 0)
    assert table.join("code", FakeSide(), 1.0) is not pairs[0]


@pytest.mark.parametrize("sides", [1, 2])
def test_late_end_spares_the_newer_pair(sides: int) -> None:
    """The late end of an old pair does not free the code of a newer pair."""
    table = Rendezvous()
    stale = table.join("code", FakeSide(), 0.0)
    table.free(stale)
    fresh, *_ = [table.join("code", FakeSide(i), 5.0) for i in range(sides)]
    before = state(table, stale, fresh)
    table.free(stale)
    assert state(table, stale, fresh) == before
    assert table.expired(100.0, 1.0) == ([fresh] if sides == 1 else [])
    table.free(fresh)
    assert (len(table), table.waiting) == (0, 0)


def test_pairs_are_compared_by_identity() -> None:
    """Two pairs with equal content are two keys."""
    one, two = (Pair("code", FIRST, 1.0, Rendezvous().free) for _ in range(2))
    assert one != two
    assert len({one, two}) == 2


def test_ended_pair_does_not_change() -> None:
    """A side with the code of an ended pair does not become its side B."""
    table = Rendezvous()
    stale = table.join("code", FIRST, 0.0)
    table.free(stale)
    table.join("code", SECOND, 1.0)
    assert (stale.a, stale.b) == (FIRST, None)


def test_only_lone_sides_expire() -> None:
    """Sides that waited longer than the time to live expire; joined and younger sides do not."""
    table = Rendezvous()
    old = table.join("old", FakeSide("a"), 0.0)
    table.join("joined", FakeSide("a"), 1.0)
    middle = table.join("middle", FakeSide("a"), 2.0)
    young = table.join("young", FakeSide("a"), 8.0)
    table.join("joined", FakeSide("b"), 9.0)
    before = state(table, old, middle, young)
    assert table.expired(10.0, 5.0) == [old, middle]
    assert table.expired(100.0, 5.0) == [old, middle, young]
    assert state(table, old, middle, young) == before


def test_exactly_the_time_to_live_is_not_too_long() -> None:
    """A side that waited exactly the time to live stays; a moment later it expires."""
    table = Rendezvous()
    pair = table.join("code", FakeSide("a"), 10.0)
    assert table.expired(310.0, 300.0) == []
    assert table.expired(310.001, 300.0) == [pair]


def test_code_is_in_no_representation() -> None:
    """The representation of a pair does not have its code."""
    table = Rendezvous()
    pair = table.join("s3cret", FakeSide("a"), 0.0)
    table.join("s3cret", FakeSide("b"), 0.0)
    with pytest.raises(PairFull) as refused:
        table.join("s3cret", FakeSide("c"), 0.0)
    for thing in (pair, table, refused.value):
        assert "s3cret" not in f"{thing!r} {thing}"


class Model(RuleBasedStateMachine):
    """Connections that join, leave, linger and expire in any order, beside a model of the table.

    The model is ``owner``: the pair of each present code. The rules know the sides and the times of
    a pair from their own actions.
    """

    connections: Bundle[Pair] = Bundle("connections")

    def __init__(self) -> None:
        super().__init__()
        self.table = Rendezvous()
        self.now = 0.0
        self.count = 0
        self.owner: dict[str, Pair] = {}
        self.sides: dict[Pair, list[FakeSide]] = {}
        self.since: dict[Pair, float] = {}

    def alone(self) -> list[Pair]:
        """Return the waiting pairs, the oldest first."""
        return [pair for pair in self.sides if self.waits(pair)]

    def waits(self, pair: Pair) -> bool:
        """Return True if a pair is present and has one side."""
        return self.owner.get(pair.code) is pair and len(self.sides[pair]) == 1

    def forget(self, pair: Pair) -> None:
        """Free the code of a pair in the model, if it has one."""
        if self.owner.get(pair.code) is pair:
            del self.owner[pair.code]

    @rule(target=connections, code=st.sampled_from("abc"))
    def connect(self, code: str) -> Pair:
        """Join a code: as side A, as side B, or refused."""
        self.count += 1
        owner = self.owner.get(code)
        if owner is not None and len(self.sides[owner]) == 2:
            with pytest.raises(PairFull):
                self.table.join(code, FakeSide(self.count), self.now)
            return multiple()  # type: ignore[return-value] # which is how nothing is added
        side = FakeSide(self.count)
        pair = self.table.join(code, side, self.now)
        if owner is None:
            assert pair not in self.sides
            self.owner[code] = pair
            self.sides[pair] = []
            self.since[pair] = self.now
        else:
            assert pair is owner
        self.sides[pair].append(side)
        return pair

    @rule(pair=consumes(connections))
    def close(self, pair: Pair) -> None:
        """End the pair of a connection, which may have ended, and drop the connection."""
        self.table.free(pair)
        self.forget(pair)

    @rule(pair=connections)
    def be_unresponsive(self, pair: Pair) -> None:
        """End the pair of a connection, which will end it again later."""
        self.table.free(pair)
        self.forget(pair)

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @rule(ttl=st.floats(0.001, 20))
    def sweep(self, ttl: float) -> None:
        """Expire the sides that waited too long."""
        expired = self.table.expired(self.now, ttl)
        assert expired == [pair for pair in self.alone() if self.now - self.since[pair] > ttl]
        for pair in expired:
            self.table.free(pair)
            self.forget(pair)

    @rule(order=st.randoms(use_true_random=False))
    def stop(self, order: Random) -> None:
        """End all connections in any order, as a stop does."""
        pairs = list(self.sides)
        order.shuffle(pairs)
        for pair in pairs:
            self.table.free(pair)
        self.owner.clear()

    @invariant()
    def table_is_the_model(self) -> None:
        """The counts of the table are those of the model, and every pair has its own sides."""
        assert len(self.table) == len(self.owner)
        assert self.table.waiting == len(self.alone())
        for pair, (a, *b) in self.sides.items():
            assert (pair.a, pair.b) == (a, b[0] if b else None)
            assert pair.since == self.since[pair]

    def teardown(self) -> None:
        """The table is empty once the last connection is gone."""
        for pair in list(self.owner.values()):
            self.table.free(pair)
        assert (len(self.table), self.table.waiting) == (0, 0)
        assert self.table.expired(self.now + 1000, 0.001) == []


TestModel = Model.TestCase
TestModel.settings = settings(derandomize=True, max_examples=200, stateful_step_count=30)
