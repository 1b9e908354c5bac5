"""Memory of sessions that have ended, and of connections that were lost."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from relay.client import Session
from tests.support.cycles import LARGE
from tests.support.endpoints import Endpoints


@pytest.fixture
def collected() -> Iterator[list[object]]:
    """Turn the garbage collector off; return a list of what it collects."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.parametrize("cuts", [0, 3])
async def test_failed_sessions(
    endpoints: Endpoints,
    autojump_clock: trio.testing.MockClock,
    collected: list[object],
    cuts: int,
) -> None:
    """No data of a guest is left to the garbage collector, which runs rarely."""

    async def handler(session: Session) -> None:
        while True:
            await session.send_all(bytes(100_000))

    async def fail() -> None:
        async with endpoints.connect(on_event=lambda _: None) as session:
            for number in range(cuts):
                await session.receive_some()
                await endpoints.guest.cut()
                await trio.sleep(2 + number)
            with trio.move_on_after(5):
                await session.send_all(bytes(20_000_000))
            raise ZeroDivisionError

    await endpoints.serve(handler, on_event=lambda _: None)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await fail()
        await trio.sleep(10)
    gc.collect()
    left = [
        (type(each), len(value))
        for each in collected
        for value in gc.get_referents(each)
        if isinstance(value, bytes | bytearray) and len(value) > LARGE
    ]
    assert left == []
