"""Sessions whose connections are cut, fall silent, or end with the relay."""

from __future__ import annotations

import hashlib
import random

import pytest
import trio
import trio.testing

from relay.client import (
    Connected,
    Lost,
    PeerAborted,
    ResumeTimeout,
    Retrying,
    Session,
)
from tests.support.endpoints import Endpoints, echo, ended_with, read_all

MIB = 2**20


@pytest.mark.parametrize("side", ["host", "guest", "both"])
async def test_cut(endpoints: Endpoints, autojump_clock: trio.testing.MockClock, side: str) -> None:
    """A stream goes on where it was cut, as often as that happens."""
    sent = hashlib.sha256()

    async def handler(session: Session) -> None:
        for _ in range(100):
            data = random.randbytes(random.choice([5, 100_000]))
            sent.update(data)
            await session.send_all(data)
            await trio.sleep(0.1)

    await endpoints.serve(handler)
    received = hashlib.sha256()
    async with endpoints.connect() as session:
        for number in range(1, 6):
            for _ in range(7):
                received.update(await session.receive_some())
            for endpoint in (endpoints.host, endpoints.guest):
                if side == "both" or getattr(endpoints, side) is endpoint:
                    await endpoint.cut()
            await endpoints.guest.wait_connected(number + 1)
        received.update(await read_all(session))
    assert received.digest() == sent.digest()
    assert len(endpoints.host.of(Lost)) == 5
    assert ended_with(endpoints.guest) == [None]


async def test_acknowledgement_is_lost(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """A sender whose window was full goes on, although the ACK that opens it was lost."""

    async def handler(session: Session) -> None:
        await session.send_all(bytes(9 * MIB))

    await endpoints.serve(handler)
    async with endpoints.connect() as session:
        await trio.sleep(5)
        endpoints.guest.session_line.is_silent = True
        found = 0
        while found < 4 * MIB:
            found += len(await session.receive_some())
        await endpoints.guest.cut()
        assert len(await read_all(session)) == 9 * MIB - found
    assert ended_with(endpoints.host) in ([None], [])


async def test_silence(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """An active session is lost 5 s after its peer fell silent, and goes on."""
    await endpoints.serve(echo)
    async with endpoints.connect() as session:
        await session.send_all(b"a")
        assert await session.receive_some() == b"a"
        await trio.sleep(1)
        begin = trio.current_time()
        for endpoint in (endpoints.host, endpoints.guest):
            endpoint.session_line.is_silent = True
        await session.send_all(b"b")
        assert await session.receive_some() == b"b"
        assert 3.5 < trio.current_time() - begin < 8
    assert [event.reason for event in endpoints.guest.of(Lost)] == [
        "the peer was silent for too long"
    ]


async def test_idle(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """An idle session stays connected, and notices silence within 18.5 s."""
    await endpoints.serve(echo)
    async with endpoints.connect() as session:
        await trio.sleep(3600)
        assert endpoints.guest.of(Lost) == endpoints.host.of(Lost) == []
        for endpoint in (endpoints.host, endpoints.guest):
            endpoint.session_line.is_silent = True
        begin = trio.current_time()
        await endpoints.guest.wait_connected(2)
        assert trio.current_time() - begin < 18.5 + 3
        await session.send_all(b"a")
        assert await session.receive_some() == b"a"


async def test_idle_session_becomes_active(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """The silence that is permitted to an idle session ends when the program writes."""
    await endpoints.serve(echo)
    async with endpoints.connect() as session:
        await trio.sleep(100)
        endpoints.guest.session_line.is_silent = True
        begin = trio.current_time()
        await session.send_all(b"a")
        assert await session.receive_some() == b"a"
        assert trio.current_time() - begin < 8


async def test_slow_reader_is_not_lost(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """A peer whose program reads nothing for long is alive."""
    await endpoints.serve(echo)
    async with endpoints.connect() as session, trio.open_nursery() as nursery:
        nursery.start_soon(session.send_all, bytes(30 * MIB))
        await trio.sleep(600)
        assert endpoints.guest.of(Lost) == endpoints.host.of(Lost) == []
        found = 0
        while found < 30 * MIB:
            found += len(await session.receive_some())


async def test_resume_timeout(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """A session fails when its connection does not come back in time; attempts become rare."""
    await endpoints.serve(echo, resume_timeout=100)
    with pytest.raises(ResumeTimeout) as caught:
        async with endpoints.connect() as session:
            await trio.sleep(5)
            begin = trio.current_time()
            endpoints.guest.is_offline = True
            await endpoints.guest.cut()
            await session.receive_some()
    assert trio.current_time() - begin == pytest.approx(300, abs=1)
    assert "did not come back in time" in str(caught.value)
    assert isinstance(ended_with(endpoints.host)[0], ResumeTimeout)
    delays = [event.delay for event in endpoints.guest.of(Retrying)]
    assert 50 < len(delays) < 300
    assert delays[0] == 0
    assert max(delays[:50]) <= 1 < max(delays) <= 15
    assert {event.session_id for event in endpoints.guest.of(Retrying)} == {session.id}


async def test_abort_without_connection(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """A program that leaves during an outage does not wait."""
    await endpoints.serve(echo, resume_timeout=10)
    with pytest.raises(ZeroDivisionError):
        async with endpoints.connect():
            await trio.sleep(5)
            endpoints.guest.is_offline = True
            await endpoints.guest.cut()
            await trio.sleep(1)
            begin = trio.current_time()
            raise ZeroDivisionError
    assert trio.current_time() == begin
    await trio.sleep(11)
    assert isinstance(ended_with(endpoints.host)[0], ResumeTimeout)


async def test_linger(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """An endpoint that lost FINISHED of its peer ends without an error after 30 s."""

    async def handler(session: Session) -> None:
        await session.send_all(b"bye")

    await endpoints.serve(handler)
    async with endpoints.connect() as session:
        assert await session.receive_some() == b"bye"
        await trio.sleep(1)
        endpoints.guest.session_line.is_silent = True
        begin = trio.current_time()
    assert trio.current_time() - begin < 40
    await trio.sleep(40)
    assert ended_with(endpoints.guest) == ended_with(endpoints.host) == [None]


async def test_relay_is_back_in_time(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """A session is connected within 2 s after the relay is back."""
    await endpoints.serve(echo)
    async with endpoints.connect() as session:
        for number in range(1, 5):
            await trio.sleep(5)
            for endpoint in (endpoints.host, endpoints.guest):
                endpoint.is_offline = True
                await endpoint.cut()
            await trio.sleep(15)
            for endpoint in (endpoints.host, endpoints.guest):
                endpoint.is_offline = False
            back = trio.current_time()
            await endpoints.guest.wait_connected(number + 1)
            await endpoints.host.wait_connected(number + 1)
            assert trio.current_time() - back < 2
        await session.send_all(b"a")
        assert await session.receive_some() == b"a"


async def test_abort_after_resume(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """A resumed session can be aborted."""
    await endpoints.serve(echo)
    with pytest.raises(ZeroDivisionError):
        async with endpoints.connect():
            await endpoints.host.cut()
            await endpoints.guest.wait_connected(2)
            raise ZeroDivisionError
    await trio.sleep(1)
    assert isinstance(ended_with(endpoints.host)[0], PeerAborted)
    assert len(endpoints.host.of(Connected)) == 2


async def test_close_without_connection(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """A session that is closed during an outage makes no further attempts."""
    await endpoints.serve(echo)
    async with endpoints.connect() as session:
        await trio.sleep(5)
        endpoints.host.is_offline = True
        await endpoints.host.cut()
        await trio.sleep(5)
        await session.aclose()
        attempts = len(endpoints.guest.of(Retrying))
        await endpoints.guest.cut()
        await trio.sleep(5)
        assert len(endpoints.guest.of(Retrying)) == attempts
    await endpoints.stop()
