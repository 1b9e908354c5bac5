"""A flag that tasks wait for."""

from __future__ import annotations

import trio
import trio.testing

from relay.client.signal import Signal


async def test_flag_is_kept() -> None:
    """A flag that is set before the wait ends the wait, once."""
    signal = Signal()
    signal.set()
    await signal.wait()
    with trio.move_on_after(0) as scope:
        await signal.wait()
    assert scope.cancelled_caught


async def test_all_tasks_wake() -> None:
    """Every task that waits is woken, and none takes a later flag from another."""
    signal = Signal()
    woken = []

    async def wait(number: int) -> None:
        await signal.wait()
        woken.append(number)
        signal.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, 1)
        nursery.start_soon(wait, 2)
        await trio.testing.wait_all_tasks_blocked()
        signal.set()
    assert sorted(woken) == [1, 2]
    await signal.wait()
