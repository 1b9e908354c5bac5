"""Peers that have the key and violate the protocol, and the messages that they may send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
import trio
import trio.testing

from relay.client import Lost, PeerAborted, ProtocolViolation, ResumeTimeout, Session
from relay.client.channel import Channel, accept, initiate, wait_for_peer
from relay.client.endpoint import Endpoint
from relay.client.errors import ConnectionLost
from relay.client.guest import request_session
from relay.client.messages import (
    Abort,
    Ack,
    Data,
    End,
    Finished,
    Message,
    NewSession,
    Ping,
    Pong,
    Request,
    Resume,
)
from relay.client.session_state import SessionState
from relay.client.transfer import transfer
from tests.support.endpoints import Endpoints, ended_with


class Peer:
    """Guest that a test plays message by message."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.dialer = Endpoint(endpoints.link, is_host=False, open_stream=endpoints.guest.open_line)
        self.names: NewSession

    @asynccontextmanager
    async def connect(self, *first: Message) -> AsyncIterator[Channel]:
        """Connect to the session, and send the first messages."""
        async with self.dialer.open(self.names.code, 0) as websocket:
            channel = await initiate(websocket, self.names)
            for message in first:
                await channel.send(message.encode())
            yield channel


@pytest.fixture
async def peer(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> Peer:
    """Return a guest that has got a session from a host, which sends two bytes."""

    async def handler(session: Session) -> None:
        await session.send_all(b"hi")
        while data := await session.receive_some():
            if data == b"stop":
                await trio.sleep(5)

    await endpoints.serve(handler)
    guest = Peer(endpoints)
    guest.names = await request_session(guest.dialer)
    return guest


async def until(channel: Channel, kind: type[Message]) -> Message:
    """Return the next message of a kind."""
    while not isinstance(message := await channel.receive(), kind):
        pass
    return message


RESUME = Resume(0, 1000)


@pytest.mark.parametrize(
    "messages",
    [
        [Resume(3, 1000)],
        [RESUME, RESUME],
        [RESUME, Request()],
        [RESUME, Ack(3)],
        [RESUME, Finished()],
        [RESUME, End(), End()],
        [RESUME, End(), Data(b"x")],
        [RESUME, Data(b"stop"), *[Data(bytes(64_000))] * 70],
    ],
    ids=["resume", "twice", "request", "ack", "finished", "end", "data", "window"],
)
async def test_violation(
    endpoints: Endpoints,
    peer: Peer,
    messages: list[Message],
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A violation ends the session, and the peer learns the reason."""
    async with peer.connect() as channel:
        for message in messages:
            await channel.send(message.encode())
        aborted = await until(channel, Abort)
        assert isinstance(aborted, Abort)
        assert aborted.reason == 4
        await trio.sleep(6)
    errors = ended_with(endpoints.host)
    assert all(isinstance(error, ProtocolViolation) for error in errors)
    assert bool(errors) == (messages[0] == RESUME)


async def test_malformed_message(
    endpoints: Endpoints, peer: Peer, autojump_clock: trio.testing.MockClock
) -> None:
    """An unknown type ends the session."""
    async with peer.connect(RESUME) as channel:
        await channel.send(b"\xff")
        assert isinstance(await until(channel, Abort), Abort)
    assert isinstance(ended_with(endpoints.host)[0], ProtocolViolation)


class LeavingPeer:
    """Channel to a peer that violates the protocol, and cuts the connection before the reply."""

    def __init__(self) -> None:
        self._messages: list[Message] = [Request()]

    async def receive(self) -> Message:
        """Return the violation, and then wait."""
        if not self._messages:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        return self._messages.pop()

    async def send(self, message: bytes) -> None:
        """Fail."""
        await trio.lowlevel.checkpoint()
        raise ConnectionLost("cut")

    async def close(self) -> None:
        """Do nothing."""


async def test_peer_leaves_after_violation(autojump_clock: trio.testing.MockClock) -> None:
    """A violation fails the session, although ABORT does not reach the peer."""
    state, channel = SessionState(), cast("Channel", LeavingPeer())
    state.connect(channel, RESUME, trio.current_time())
    await transfer(state, channel)
    assert isinstance(state.error, ProtocolViolation)


@pytest.mark.parametrize("first", [Ping().encode(), b"\xff"])
async def test_first_message_is_not_resume(
    endpoints: Endpoints, peer: Peer, autojump_clock: trio.testing.MockClock, first: bytes
) -> None:
    """A connection that does not begin with RESUME is lost, and the session goes on."""
    async with peer.connect() as channel:
        await channel.send(first)
        with pytest.raises(ConnectionLost):
            await channel.receive()
    async with peer.connect(RESUME) as channel:
        assert isinstance(await channel.receive(), Resume)
        await channel.send(Abort(2).encode())
        await trio.sleep(1)
    assert isinstance(ended_with(endpoints.host)[0], PeerAborted)


async def test_course(
    endpoints: Endpoints, peer: Peer, autojump_clock: trio.testing.MockClock
) -> None:
    """The messages of a session have the specified order."""
    async with peer.connect(RESUME) as channel:
        assert await channel.receive() == Resume(0, 4 * 2**20)
        assert await channel.receive() == Data(b"hi")
        await channel.send(Ping().encode())
        assert await channel.receive() == Pong()
        begin = trio.current_time()
        await channel.send(Data(b"abc").encode())
        assert await channel.receive() == Ack(3)
        assert 0.05 < trio.current_time() - begin < 0.15
        await channel.send(End().encode())
        assert [await channel.receive() for _ in range(2)] == [Ack(4), End()]
        await channel.send(Ack(3).encode())
        assert await channel.receive() == Finished()
        await channel.send(Finished().encode())
        with pytest.raises(ConnectionLost) as caught:
            await channel.receive()
        assert caught.value.code == 1000
    assert ended_with(endpoints.host) == [None]


async def test_acknowledgement_is_repeated(
    endpoints: Endpoints, peer: Peer, autojump_clock: trio.testing.MockClock
) -> None:
    """A receiver whose program reads nothing repeats its ACK a second after data."""
    async with peer.connect(RESUME) as channel:
        await channel.send(Data(b"stop").encode())
        assert await until(channel, Ack) == Ack(4)
        for _ in range(3):
            begin = trio.current_time()
            await channel.send(Data(b"abc").encode())
            assert await until(channel, Ack) == Ack(4)
            assert trio.current_time() - begin == pytest.approx(1, abs=0.1)
        await channel.send(Abort(2).encode())


async def test_silent_guest(
    endpoints: Endpoints, peer: Peer, autojump_clock: trio.testing.MockClock
) -> None:
    """A host sends PING after 1.5 s, and gives the connection up 3.5 s later."""
    async with peer.connect(RESUME) as channel:
        begin = trio.current_time()
        await until(channel, Ping)
        assert trio.current_time() - begin == pytest.approx(1.5, abs=0.1)
        with pytest.raises(ConnectionLost):
            await until(channel, Abort)
        assert trio.current_time() - begin == pytest.approx(5, abs=0.1)
    assert [event.reason for event in endpoints.host.of(Lost)] == [
        "the peer was silent for too long"
    ]


async def test_silent_host(
    endpoints: Endpoints, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A guest gives up a host that does not answer RESUME, and tries again."""
    link = endpoints.link
    names = NewSession("A" * 22, bytes(32))
    dialer = Endpoint(link, is_host=True, open_stream=endpoints.host.open_line)

    async def host() -> None:
        async with dialer.open(link.code, 0) as websocket:
            first = await wait_for_peer(websocket)
            channel, _ = await accept(websocket, link, first)
            await channel.send(names.encode())
            await trio.sleep(1)
        while True:
            async with dialer.open(names.code, 0) as websocket:
                first = await wait_for_peer(websocket)
                await accept(websocket, names, first)
                await trio.sleep(8)

    nursery.start_soon(host)
    with pytest.raises(ResumeTimeout):
        async with endpoints.connect():
            pass
    assert "the peer did not continue the session in time" in endpoints.guest.reasons
    nursery.cancel_scope.cancel()


async def test_peer_that_does_not_read(
    endpoints: Endpoints,
    nursery: trio.Nursery,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host can be cancelled although a guest does not read, and is not silent."""
    times = list[float]()

    async def stall(data: bytes) -> None:
        await trio.sleep(60)

    async def handler(session: Session) -> None:
        await trio.sleep(1)
        monkeypatch.setattr(endpoints.host.session_line, "send_all", stall)
        times.append(trio.current_time())
        try:
            await session.send_all(b"hi")
            await trio.sleep_forever()
        finally:
            times.append(trio.current_time())

    await endpoints.serve(handler)
    guest = Peer(endpoints)
    guest.names = await request_session(guest.dialer)
    with pytest.raises(ConnectionLost):
        async with guest.connect(RESUME) as channel:
            for number in range(100):
                await trio.sleep(0.5)
                await channel.send(Ping().encode())
                if number == 4:
                    nursery.start_soon(endpoints.stop)
    assert times[1] - times[0] == pytest.approx(5, abs=0.1)
    assert trio.current_time() - times[1] < 5
