"""A session as a stream, over a relay in memory."""

from __future__ import annotations

import hashlib
import random

import pytest
import trio
import trio.lowlevel
import trio.testing

from relay.client import (
    Connected,
    Ended,
    PeerAborted,
    Session,
    TargetError,
    Waiting,
)
from tests.support.endpoints import Endpoints, echo, ended_with, read_all

MIB = 2**20


async def test_echo(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """Bytes and ends of streams pass in both directions, and the events tell the course."""
    await endpoints.serve(echo)
    for number in range(1, 3):
        async with endpoints.connect() as session:
            await session.send_all(b"hello")
            assert await session.receive_some() == b"hello"
            await session.send_eof()
            await session.send_eof()
            assert await session.receive_some() == b""
            assert await session.receive_some() == b""
            assert (session.bytes_sent, session.bytes_received) == (5, 5)
        assert ended_with(endpoints.guest) == [None] * number
    await trio.sleep(1)
    assert ended_with(endpoints.host) == [None, None]
    assert [type(event) for event in endpoints.guest.events] == [Waiting, Connected, Ended] * 2
    assert [type(event) for event in endpoints.host.events] == [Waiting, *[Connected, Ended] * 2]


async def test_concurrent_guests(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """Several guests of one link have sessions at the same time."""
    await endpoints.serve(echo)

    async def run(number: int) -> None:
        async with endpoints.connect() as session:
            await session.send_all(b"%d" % number)
            await session.send_eof()
            await trio.sleep(100)
            assert await read_all(session) == b"%d" % number

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(run, number)
    assert ended_with(endpoints.guest) == [None] * 5


async def test_bulk(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """A stream of pieces of all sizes arrives whole."""
    sizes = [random.choice([1, 2, 999, 63_999, 64_000, 64_001, 300_000]) for _ in range(100)]
    sent = hashlib.sha256()

    async def handler(session: Session) -> None:
        for size in sizes:
            data = random.randbytes(size)
            sent.update(data)
            await session.send_all(random.choice([bytes, bytearray, memoryview])(data))
            if size < 1000:
                await trio.lowlevel.checkpoint()

    await endpoints.serve(handler)
    async with endpoints.connect() as session:
        received = hashlib.sha256()
        while data := await session.receive_some(random.choice([None, 10_000, 70_000])):
            received.update(data)
        assert received.digest() == sent.digest()
        assert session.bytes_received == sum(sizes)


async def test_backpressure(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """A writer waits when the window of the reader and its own buffer are full."""
    written = 0

    async def handler(session: Session) -> None:
        nonlocal written
        for _ in range(20):
            await session.send_all(bytes(MIB))
            written += 1

    await endpoints.serve(handler)
    async with endpoints.connect() as session:
        await trio.sleep(3600)
        assert written == 4
        assert len(await read_all(session)) == 20 * MIB
    assert len(endpoints.guest.of(Connected)) == 1


async def test_wait_until_writable(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """The wait for room ends when the peer has consumed something."""

    async def handler(session: Session) -> None:
        await session.wait_send_all_might_not_block()
        await session.send_all(bytes(4 * MIB))
        begin = trio.current_time()
        await session.wait_send_all_might_not_block()
        assert trio.current_time() - begin > 50

    await endpoints.serve(handler)
    async with endpoints.connect() as session:
        await trio.sleep(60)
        assert len(await read_all(session)) == 4 * MIB
    assert ended_with(endpoints.host) == [None]


async def test_unread_bytes_are_discarded(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """A program that reads nothing does not keep its peer from a clean end."""

    async def handler(session: Session) -> None:
        await session.send_all(bytes(10 * MIB))

    await endpoints.serve(handler)
    async with endpoints.connect() as session:
        await session.send_all(b"hello")
    await trio.sleep(1)
    assert ended_with(endpoints.guest) == ended_with(endpoints.host) == [None]


async def test_endless_peer(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """A program that leaves waits for 30 s for the end of the peer's stream, and aborts then."""

    async def handler(session: Session) -> None:
        while True:
            await session.send_all(b"more")
            await trio.sleep(1)

    await endpoints.serve(handler)
    async with endpoints.connect():
        begin = trio.current_time()
    assert 30 <= trio.current_time() - begin < 31
    await trio.sleep(2)
    (error,) = ended_with(endpoints.host)
    assert isinstance(error, PeerAborted)
    assert (error.reason_code, str(error)) == (2, "the program of the peer closed the session")


async def test_exception_of_guest(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """An exception in the block aborts the session, and is raised as it is."""
    failures = []

    async def handler(session: Session) -> None:
        try:
            await session.receive_some()
        except trio.BrokenResourceError as error:
            failures.append(error.__cause__)
            raise

    await endpoints.serve(handler)
    with pytest.raises(ZeroDivisionError):
        async with endpoints.connect():
            raise ZeroDivisionError
    await trio.sleep(1)
    (error,) = ended_with(endpoints.host)
    assert isinstance(error, PeerAborted)
    assert failures == [error]
    (error,) = ended_with(endpoints.guest)
    assert str(error) == "the program of the session failed: ZeroDivisionError"


@pytest.mark.parametrize(
    ("error", "reason", "text"),
    [
        (TargetError("connection refused"), 1, "connection refused"),
        (ZeroDivisionError("secret"), 2, "the program of the peer closed the session"),
    ],
)
async def test_exception_of_host(
    endpoints: Endpoints,
    autojump_clock: trio.testing.MockClock,
    error: Exception,
    reason: int,
    text: str,
) -> None:
    """An exception of a handler ends its session alone; the guest gets the text of TargetError."""

    async def handler(session: Session) -> None:
        if await session.receive_some() == b"fail":
            raise error

    await endpoints.serve(handler)
    async with endpoints.connect() as other:
        with pytest.raises(PeerAborted) as caught:
            async with endpoints.connect() as session:
                await session.send_all(b"fail")
                await session.receive_some()
        assert (caught.value.reason_code, caught.value.text) == (reason, text)
        await other.send_all(b"live")
    assert [type(each) for each in ended_with(endpoints.guest)] == [PeerAborted, type(None)]
    assert "secret" not in repr(endpoints.host.events)


async def test_data_before_abort(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """The program reads what arrived before the peer aborted the session."""

    async def handler(session: Session) -> None:
        await session.send_all(b"last words")
        await trio.sleep(1)
        raise TargetError("gone")

    await endpoints.serve(handler)
    with pytest.raises(PeerAborted, match="gone"):
        async with endpoints.connect() as session:
            await trio.sleep(2)
            with pytest.raises(trio.BrokenResourceError):
                await session.send_all(b"x")
            assert await session.receive_some() == b"last words"
            assert isinstance(session.error, PeerAborted)
            await session.receive_some()


async def test_cancelled_guest(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """Cancellation aborts the session, and the host learns it."""
    await endpoints.serve(echo)
    with trio.move_on_after(5) as scope:
        async with endpoints.connect() as session:
            await session.receive_some()
    assert scope.cancelled_caught
    await trio.sleep(1)
    assert isinstance(ended_with(endpoints.host)[0], PeerAborted)
    assert ended_with(endpoints.guest) == [None]


async def test_cancelled_host(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """Cancellation of a host aborts its sessions, and the guests learn it."""
    await endpoints.serve(echo)
    with pytest.raises(PeerAborted):
        async with endpoints.connect() as session:
            await endpoints.stop()
            await session.receive_some()
    assert trio.current_time() < 1
    assert ended_with(endpoints.host) == [None]


async def test_close_aborts(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """A session that is closed before the end of its stream is aborted."""
    await endpoints.serve(echo)
    async with endpoints.connect() as session:
        await session.aclose()
        await session.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await session.send_all(b"x")
        with pytest.raises(trio.ClosedResourceError):
            await session.receive_some()
    await trio.sleep(1)
    assert isinstance(ended_with(endpoints.host)[0], PeerAborted)


async def test_close_after_end(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """A session that is closed after the end of its stream ends cleanly."""
    got = []

    async def handler(session: Session) -> None:
        got.append(await read_all(session))
        await session.send_all(b"unread")

    await endpoints.serve(handler)
    async with endpoints.connect() as session:
        await session.send_all(b"hello")
        await session.send_eof()
        await session.aclose()
    await trio.sleep(1)
    assert got == [b"hello"]
    assert ended_with(endpoints.guest) == ended_with(endpoints.host) == [None]


async def test_close_wakes_reader(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """A task that reads gets ClosedResourceError when another task closes the session."""
    await endpoints.serve(echo)
    async with endpoints.connect() as session, trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await session.receive_some()

        nursery.start_soon(read)
        await trio.sleep(1)
        await session.aclose()


async def test_misuse(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """Wrong calls raise the exceptions that trio prescribes."""

    async def handler(session: Session) -> None:
        await trio.sleep(100)

    await endpoints.serve(handler)
    async with endpoints.connect() as session:
        with pytest.raises(ValueError, match="at least 1"):
            await session.receive_some(0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.receive_some)
            nursery.start_soon(session.send_all, bytes(20 * MIB))
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await session.receive_some()
            with pytest.raises(trio.BusyResourceError):
                await session.send_all(b"x")
            nursery.cancel_scope.cancel()
        await session.send_eof()
        with pytest.raises(trio.ClosedResourceError):
            await session.send_all(b"x")


async def test_name(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """The name of a session is random, and its representation shows nothing secret."""
    await endpoints.serve(echo)
    async with endpoints.connect() as session:
        assert len(session.id) == 6
        assert session.error is None
        assert endpoints.link.code not in repr(session)
