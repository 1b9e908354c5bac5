"""The two ends of a stream: outbox and inbox."""

from __future__ import annotations

import hashlib
import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.client.errors import ProtocolViolation
from relay.client.inbox import Inbox
from relay.client.outbox import PIECE, Outbox


class Pair:
    """An outbox and an inbox with connections between them that are lost at any time."""

    def __init__(self, capacity: int, window: int) -> None:
        self.outbox = Outbox(capacity)
        self.inbox = Inbox(window)
        self.messages: list[bytes | None] = []
        """Messages on the way; None for END."""
        self.acknowledgements: list[int] = []
        self.resume()

    def resume(self) -> None:
        """Lose the connection, and continue with another one."""
        self.messages.clear()
        self.acknowledgements.clear()
        self.outbox.resume(self.inbox.received, self.inbox.window)
        self.acknowledge()

    def send(self) -> bool:
        """Send one message; return True if there was one."""
        with self.outbox.take_data() as data:
            message = bytes(data)
        if message:
            self.messages.append(message)
            assert len(message) <= PIECE
        elif self.outbox.take_end():
            self.messages.append(None)
        else:
            return False
        return True

    def deliver(self) -> bool:
        """Deliver one message; return True if there was one."""
        if not self.messages:
            return False
        message = self.messages.pop(0)
        if message is None:
            self.inbox.end()
        else:
            self.inbox.receive(message)
        return True

    def acknowledge(self) -> None:
        """Send an acknowledgement."""
        self.acknowledgements.append(self.inbox.consumed)

    def deliver_acknowledgement(self) -> None:
        """Deliver an acknowledgement, if there is one."""
        if self.acknowledgements:
            self.outbox.acknowledge(self.acknowledgements.pop(0))


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([10, 1000, 3 * PIECE]))
def test_lost_connections(seed: int, window: int) -> None:
    """Whatever is lost, the bytes arrive once and in order, within the limits."""
    choices = random.Random(seed)
    pair = Pair(capacity=2 * window, window=window)
    sent, received = hashlib.sha256(), hashlib.sha256()
    left = 20 * window
    while not pair.outbox.is_acknowledged:
        action = choices.choice(["write", "send", "deliver", "read", "ack", "acked", "resume"])
        if action == "write" and left:
            data = choices.randbytes(choices.randint(1, min(left, 2 * window)))
            written = pair.outbox.write(data)
            sent.update(data[:written])
            left -= written
            pair.outbox.ended = not left
        elif action == "send":
            pair.send()
        elif action == "deliver":
            pair.deliver()
        elif action == "read" and not pair.inbox.is_empty:
            received.update(pair.inbox.read(choices.choice([None, 7, window])))
        elif action == "ack":
            pair.acknowledge()
        elif action == "acked":
            pair.deliver_acknowledgement()
        elif action == "resume" and choices.random() < 0.1:
            pair.resume()
        assert 0 <= pair.outbox.room <= 2 * window
        assert pair.inbox.length - pair.inbox.consumed_bytes <= window
        assert pair.outbox.acknowledged <= pair.inbox.consumed_bytes
    assert sent.digest() == received.digest()
    assert pair.inbox.ended


def test_small_writes_are_merged() -> None:
    """Many small writes leave in few messages."""
    pair = Pair(PIECE * 4, PIECE * 4)
    for _ in range(PIECE + 1):
        pair.outbox.write(b"x")
    assert pair.send()
    assert pair.send()
    assert not pair.send()
    assert [len(message or b"") for message in pair.messages] == [PIECE, 1]


def test_small_messages_are_merged() -> None:
    """Many small messages take little more memory than their bytes."""
    inbox = Inbox(2**20)
    for _ in range(200_000):
        inbox.receive(b"x")
    found = 0
    pieces = 0
    while not inbox.is_empty:
        data = inbox.read()
        found += len(data)
        pieces += 1
        assert sys.getsizeof(data) < 2 * PIECE
    assert (found, pieces) == (200_000, 4)


def test_window_is_kept() -> None:
    """A sender does not exceed the window, and END counts as one byte."""
    pair = Pair(100, 10)
    pair.outbox.write(bytes(10))
    pair.outbox.ended = True
    assert pair.send()
    assert not pair.send()
    assert pair.deliver()
    pair.inbox.read(1)
    pair.acknowledge()
    pair.deliver_acknowledgement()
    pair.deliver_acknowledgement()
    assert pair.send()
    assert pair.messages == [None]


@pytest.mark.parametrize("excess", [b"xx", b"x" * 2000])
def test_window_is_enforced(excess: bytes) -> None:
    """Bytes beyond the window are a violation."""
    inbox = Inbox(1)
    with pytest.raises(ProtocolViolation, match="exceeds the window"):
        inbox.receive(excess)


def test_after_the_end() -> None:
    """Nothing follows the end of the stream."""
    inbox = Inbox(10)
    inbox.end()
    with pytest.raises(ProtocolViolation, match="after the end"):
        inbox.receive(b"x")
    with pytest.raises(ProtocolViolation, match="after the end"):
        inbox.end()


@pytest.mark.parametrize(("received", "window"), [(4, 10), (9, 10), (6, 11), (2**64 - 1, 10)])
def test_wrong_resume(received: int, window: int) -> None:
    """A position of RESUME that goes back or was not sent, and another window, are violations."""
    pair = Pair(100, 10)
    pair.outbox.write(bytes(8))
    assert pair.send()
    pair.outbox.acknowledge(5)
    with pytest.raises(ProtocolViolation, match="RESUME"):
        pair.outbox.resume(received, window)
    pair.outbox.resume(8, 10)


@pytest.mark.parametrize("position", [4, 9])
def test_wrong_acknowledgement(position: int) -> None:
    """A position of ACK that goes back or was not sent is a violation."""
    pair = Pair(100, 10)
    pair.outbox.write(bytes(8))
    assert pair.send()
    pair.outbox.acknowledge(5)
    with pytest.raises(ProtocolViolation, match="ACK"):
        pair.outbox.acknowledge(position)


def test_discard() -> None:
    """Discarded bytes count as consumed."""
    inbox = Inbox(100)
    inbox.receive(bytes(50))
    inbox.read(10)
    inbox.discard()
    inbox.end()
    assert (inbox.is_empty, inbox.consumed) == (True, 51)
