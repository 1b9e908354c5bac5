"""Two endpoints with one code are joined, and what they send arrives."""

from __future__ import annotations

from .conftest import MemoryRelay, TcpRelay


async def test_messages_arrive_both_ways(memory_relay: MemoryRelay) -> None:
    """Each side gets what the other one sends, message for message."""
    a, b = await memory_relay.pair()
    await a.send_message(b"to b")
    await a.send_message(b"")
    await b.send_message(b"to a" * 100_000)
    assert await b.message() == b"to b"
    assert await b.message() == b""
    assert await a.message() == b"to a" * 100_000


async def test_tcp(tcp_relay: TcpRelay) -> None:
    """Each side gets what the other one sends, message for message."""
    a, b = await tcp_relay.pair()
    await a.send_message(b"to b")
    assert await b.message() == b"to b"
