"""Each life of the soak ends as docs/protocol.md says, and a fault of a relay is found."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import trio

from proof.soak import lives
from proof.soak.actors import Gate, Results, act
from proof.soak.members import Place, Unexpected, expect
from proof.soak.run import Plan, Soak, faults
from proof.soak.samples import Sample
from tests.support.process import LOOPBACK, run_program


async def test_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every life runs against a relay, all at the same time."""
    monkeypatch.setattr(lives, "IDLE_SECONDS", 1.0)
    async with run_program(*LOOPBACK, log=tmp_path / "log") as program:
        place = Place(program.port)
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for life in lives.LIVES:
                    nursery.start_soon(life, place, Random(1))
    assert place.round_trips


async def test_failure_of_a_life_is_a_result() -> None:
    """A life that fails is recorded, and the actor goes on."""
    results, place = Results(), Place(1)  # nothing listens on port 1
    with trio.move_on_after(1.5):
        await act(place, Random(0), Gate(), results)
    assert results.failures
    assert not results.lives


async def test_gate(autojump_clock: trio.testing.MockClock) -> None:
    """A rest begins once all lives have ended, and no life begins before its end."""
    gate, running = Gate(), 0

    async def live() -> None:
        nonlocal running
        while True:
            async with gate.passed():
                running += 1
                await trio.sleep(1)
                running -= 1
            await trio.sleep(0.1)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(live)
        await trio.sleep(0.5)
        for _ in range(3):
            async with gate.closed():
                assert running == 0
                await trio.sleep(5)
                assert running == 0
        nursery.cancel_scope.cancel()


def test_expectation() -> None:
    """A wrong value is an error that names both."""
    with pytest.raises(Unexpected, match="status: 409, not 101"):
        expect("status", 409, 101)


def rest(time: float, **values: float) -> Sample:
    """Return a sample at rest."""
    usual = {"connections": 0.0, "pairs": 0.0, "reloads_failed": 0.0}
    return Sample("plain", time, True, usual | {"descriptors": 14.0, "threads": 1.0} | values)


@pytest.mark.parametrize(
    ("values", "count"),
    [({}, 0), ({"pairs": 1.0}, 1), ({"descriptors": 15.0}, 1), ({"threads": 2.0}, 1)],
)
def test_faults(values: dict[str, float], count: int) -> None:
    """A pair that is left over at rest, or a new descriptor or thread, is a fault."""
    soak = Soak(Plan(10, 1, 1, 0), samples=[rest(0), rest(5), rest(10, **values)])
    assert len(faults(soak)) == count
