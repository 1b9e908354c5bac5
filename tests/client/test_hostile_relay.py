"""A relay that an attacker runs: no endpoint ever delivers wrong data."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from functools import partial

import pytest
import trio
import trio.testing

from relay.client import Lost, ResumeTimeout, Session, WaitTimeout
from tests.support.endpoints import Endpoints, accept_upgrade
from tests.support.tampering_relay import CUT, TamperingRelay, forward

PIECES = 40


class Attack:
    """Endpoints at a relay of an attacker, with a stream that must arrive whole."""

    def __init__(self, endpoints: Endpoints, relay: TamperingRelay) -> None:
        self.endpoints = endpoints
        self.relay = relay
        self.sent = hashlib.sha256()
        self.received = hashlib.sha256()

    async def handler(self, session: Session) -> None:
        """Send random data."""
        for _ in range(PIECES):
            data = random.randbytes(100_000)
            self.sent.update(data)
            await session.send_all(data)
            await trio.sleep(0.05)

    async def run(self, resume_timeout: float = 300.0) -> None:
        """Transfer the stream."""
        await self.endpoints.serve(
            self.handler,
            open_stream=partial(self.relay.open_stream, "host"),
            resume_timeout=resume_timeout,
        )
        async with self.endpoints.connect(
            open_stream=partial(self.relay.open_stream, "guest"), resume_timeout=resume_timeout
        ) as session:
            while data := await session.receive_some():
                self.received.update(data)
        assert self.received.digest() == self.sent.digest()


@pytest.fixture
def attack(endpoints: Endpoints, nursery: trio.Nursery) -> Attack:
    """Return endpoints at a relay of an attacker."""
    return Attack(endpoints, TamperingRelay(nursery, endpoints.link.code))


def reasons(attack: Attack) -> set[str]:
    """Return the reasons of the lost connections."""
    endpoints = attack.endpoints
    lost = [*endpoints.host.of(Lost), *endpoints.guest.of(Lost)]
    return {event.reason for event in lost}


class Once:
    """Tampering with one message of the host in the first connection that has so many."""

    def __init__(self, number: int, changed: Sequence[bytes | str | None] | str) -> None:
        self.number = number
        self.changed = changed
        self.held: bytes | None = None
        self.is_over = False

    def __call__(self, sender: str, number: int, message: bytes) -> Sequence[bytes | str | None]:
        if sender != "host" or self.is_over:
            return forward(sender, number, message)
        if self.held is not None:
            self.is_over = True
            return [message, self.held]
        if number < self.number:
            return [message]
        if self.changed == "reorder":
            self.held = message
            return []
        self.is_over = True
        if self.changed == "repeat":
            return [message, message]
        if self.changed == "flip":
            return [bytes([message[0] ^ 1]) + message[1:]]
        return [*self.changed]


@pytest.mark.parametrize("number", [0, 1, 2, 20])
@pytest.mark.parametrize(
    "changed",
    ["reorder", "repeat", "flip", [], [CUT], ["text"], [b""], [bytes(65_536)]],
    ids=["reorder", "repeat", "flip", "drop", "cut", "text", "empty", "too long"],
)
async def test_one_message(
    attack: Attack,
    autojump_clock: trio.testing.MockClock,
    number: int,
    changed: list[bytes | str | None] | str,
) -> None:
    """A message that is changed, repeated, reordered or dropped ends the connection."""
    attack.relay.tamper = Once(number, changed)
    await attack.run()
    assert attack.relay.tamper.is_over
    if number > 1:
        assert reasons(attack)


async def test_messages_of_another_connection(
    attack: Attack, autojump_clock: trio.testing.MockClock
) -> None:
    """Messages of an earlier connection do not decrypt in the next one."""
    recorded: list[bytes] = []
    replays = 0

    def tamper(sender: str, number: int, message: bytes) -> Sequence[bytes | str | None]:
        nonlocal replays
        if sender != "host":
            return [message]
        if len(recorded) < 10:
            recorded.append(message)
            return [message] if len(recorded) < 10 else [CUT]
        if replays < 5:
            replays += 1
            return [recorded[number], CUT]
        return [message]

    attack.relay.tamper = tamper
    await attack.run()
    assert replays == 5


async def test_every_connection_is_cut(
    attack: Attack, autojump_clock: trio.testing.MockClock
) -> None:
    """A relay that cuts each connection after some messages delays the stream, and no more."""

    def tamper(sender: str, number: int, message: bytes) -> Sequence[bytes | str | None]:
        return [message] if number < 5 else [message, CUT]

    attack.relay.tamper = tamper
    await attack.run()
    assert len(attack.endpoints.guest.of(Lost)) > PIECES / 5


async def test_nothing_arrives(attack: Attack, autojump_clock: trio.testing.MockClock) -> None:
    """A relay that cuts each connection at its beginning fails the session, without a busy loop."""
    blocks = False

    def tamper(sender: str, number: int, message: bytes) -> Sequence[bytes | str | None]:
        return [CUT] if blocks else [message]

    attack.relay.tamper = tamper

    async def block() -> None:
        nonlocal blocks
        await trio.sleep(1)
        blocks = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(block)
        with pytest.raises(ResumeTimeout):
            await attack.run(resume_timeout=120)
    assert len(attack.endpoints.guest.events) < 400


async def test_reflection(attack: Attack, autojump_clock: trio.testing.MockClock) -> None:
    """An endpoint that is joined with itself gets no session."""
    attack.relay.reflects = True
    with pytest.raises(WaitTimeout):
        async with attack.endpoints.connect(
            wait_timeout=20, open_stream=partial(attack.relay.open_stream, "guest")
        ):
            pass
    text = "another guest of this link is connected in place of the host"
    assert {*attack.endpoints.guest.reasons} == {text}


async def test_reflection_in_session(
    attack: Attack, autojump_clock: trio.testing.MockClock
) -> None:
    """An endpoint that is joined with itself after a lost connection does not resume."""

    def tamper(sender: str, number: int, message: bytes) -> Sequence[bytes | str | None]:
        attack.relay.reflects = number > 9
        return [message] if number <= 9 else [CUT]

    attack.relay.tamper = tamper
    with pytest.raises(ResumeTimeout):
        await attack.run(resume_timeout=60)


async def test_endless_fragments(
    endpoints: Endpoints,
    nursery: trio.Nursery,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fragments without end do not fill the memory: the connection ends."""
    monkeypatch.setattr("relay.client.websocket.MAX_UNNOTICED", 2**16)
    sent = 0

    async def drain(server: trio.abc.Stream) -> None:
        while await server.receive_some():
            pass
        await server.aclose()

    async def flood(server: trio.abc.Stream) -> None:
        nonlocal sent
        head = bytes(await server.receive_some())
        await server.send_all(accept_upgrade(head) + b"\x02\x00")
        nursery.start_soon(drain, server)
        with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
            while True:
                await server.send_all(b"\x00\x00" * 1000)
                sent += 2000

    async def open_stream() -> trio.abc.Stream:
        client, server = trio.testing.lockstep_stream_pair()
        nursery.start_soon(flood, server)
        return client

    async with trio.open_nursery() as guest:

        async def run() -> None:
            async with endpoints.connect(open_stream=open_stream):
                pass

        guest.start_soon(run)
        while not endpoints.guest.reasons:
            await trio.sleep(0.1)
        guest.cancel_scope.cancel()
    assert 2**16 <= sent < 2**18
