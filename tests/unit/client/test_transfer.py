"""Messages that the task of a program sends."""

from __future__ import annotations

from typing import cast

import pytest
import trio
import trio.testing

from relay.client.channel import Channel, start_handshake
from relay.client.errors import ConnectionLost
from relay.client.messages import (
    Ack,
    Data,
    Message,
    NewSession,
    Ping,
    Pong,
    Resume,
    decode,
)
from relay.client.session import Session
from relay.client.session_state import SessionState
from relay.client.transfer import DIRECT, DIRECT_TIMEOUT
from relay.client.websocket import WebSocket


class FakeChannel:
    """Channel that records its messages. Nobody receives them."""

    def __init__(self) -> None:
        self.is_sending = False
        self.sent: list[Message] = []
        self.scope = trio.CancelScope()
        """Scope that is cancelled during each message."""
        self.is_lost = False

    async def send(self, plaintext: bytes) -> None:
        """Record a message."""
        self.scope.cancel()
        await trio.lowlevel.checkpoint()
        if self.is_lost:
            raise ConnectionLost("cut")
        self.sent.append(decode(plaintext))


class Connected:
    """Session with a fake channel, without tasks."""

    def __init__(self, window: int = 2**20) -> None:
        self.channel = FakeChannel()
        self.state = SessionState()
        self.state.connect(cast("Channel", self.channel), Resume(0, window), trio.current_time())
        self.session = Session(self.state)


async def test_program_sends() -> None:
    """The bytes are sent before `send_all` returns, and the session task is not woken."""
    connected = Connected()
    await connected.session.send_all(b"hello")
    assert connected.channel.sent == [Data(b"hello")]
    assert connected.state.pause.deadline > trio.current_time()


async def test_busy_connection() -> None:
    """The sending task is woken if it sends already, or if much is not acknowledged."""
    connected = Connected()
    connected.channel.is_sending = True
    await connected.session.send_all(b"hello")
    assert connected.channel.sent == []
    assert connected.state.pause.deadline < 0
    connected.channel.is_sending = False
    await connected.session.send_all(bytes(DIRECT))
    assert connected.channel.sent == []


async def test_full_window() -> None:
    """A program that may not send yet passes control to other tasks."""
    connected = Connected(window=5)
    await connected.session.send_all(b"hello")
    with trio.testing.assert_checkpoints():
        await connected.session.send_all(b"x")
    assert connected.channel.sent == [Data(b"hello")]
    connected.state.receive(Ack(5), trio.current_time())
    await connected.session.send_all(b"y")
    assert connected.channel.sent[1:] == [Data(b"xy")]


async def test_cancelled_program() -> None:
    """A message is sent completely, because the next one cannot be decrypted without it."""
    connected = Connected()
    with connected.channel.scope as scope:
        await connected.session.send_all(b"hello")
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert connected.channel.sent == [Data(b"hello")]
    with trio.CancelScope() as scope:
        scope.cancel()
        await connected.session.send_all(b"x")
    assert connected.channel.sent == [Data(b"hello")]


async def test_lost_connection() -> None:
    """The program does not notice that the connection is lost."""
    connected = Connected()
    connected.channel.is_lost = True
    await connected.session.send_all(b"hello")
    assert connected.channel.sent == []


async def test_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that always asks for PONG cannot keep the program from its work."""
    connected = Connected()
    state, send = connected.state, connected.channel.send

    async def send_and_receive(plaintext: bytes) -> None:
        await send(plaintext)
        state.receive(Ping(), trio.current_time())

    monkeypatch.setattr(connected.channel, "send", send_and_receive)
    await connected.session.send_all(b"hello")
    assert connected.channel.sent == [Data(b"hello"), Pong(), Pong(), Pong()]
    assert state.pause.deadline < 0


@pytest.mark.parametrize("is_current", [True, False])
async def test_stall(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock, *, is_current: bool
) -> None:
    """A program does not wait for ever for a peer that does not read. Its connection is lost."""
    connected = Connected()
    state = connected.state
    begin = trio.current_time()

    async def stall(plaintext: bytes) -> None:
        if not is_current:
            state.channel = None
        await trio.sleep(60)

    monkeypatch.setattr(connected.channel, "send", stall)
    with trio.move_on_after(1) as scope:
        await connected.session.send_all(b"hello")
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert trio.current_time() == begin + DIRECT_TIMEOUT
    state.receive(Pong(), trio.current_time())
    if is_current:
        with pytest.raises(ConnectionLost, match="not sent in time"):
            state.on_silence(trio.current_time())
    else:
        state.on_silence(trio.current_time())


class SlowWebSocket:
    """WebSocket that sends each message when a test permits it."""

    def __init__(self) -> None:
        self.permits = trio.Semaphore(0)

    async def send(self, message: bytes) -> None:
        """Wait for a permit."""
        await self.permits.acquire()


async def test_two_senders(nursery: trio.Nursery) -> None:
    """A connection is busy until the last message is sent, and after a message was left out."""
    websocket = SlowWebSocket()
    guest, host = (start_handshake(NewSession("A" * 22, bytes(32))) for _ in range(2))
    host.read(guest.write())
    guest.read(host.write())
    channel = Channel(cast("WebSocket", websocket), guest)
    busy = [channel.is_sending]
    for _ in range(2):
        nursery.start_soon(channel.send, b"x")
    for _ in range(2):
        await trio.testing.wait_all_tasks_blocked()
        busy.append(channel.is_sending)
        websocket.permits.release()
    await trio.testing.wait_all_tasks_blocked()
    busy.append(channel.is_sending)
    with trio.move_on_after(0):
        await channel.send(b"x")
    assert [*busy, channel.is_sending] == [False, True, True, False, True]
