"""Memory of the relay stays within its documented bounds, whatever clients send."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

import pytest
import trio

from relay.pairing.early_data import EARLY_DATA_LIMIT
from tests.support.raw_client import BINARY, PING, encode, upgrade_request
from tests.support.relay_fixtures import ProcessRelay
from tests.support.running_relay import exchange

MIB = 2**20
BLOCK = encode(BINARY, bytes(MIB - 14))  # a frame of 1 MiB, whole


def join(relay: ProcessRelay, code: str) -> socket.socket:
    """Return the blocking socket of a client that has joined."""
    client = socket.create_connection(("127.0.0.1", relay.port), timeout=30)
    client.sendall(upgrade_request(f"/?pair={code}"))
    response = b""
    while not response.endswith(b"\r\n\r\n"):
        response += client.recv(1)
    assert response.startswith(b"HTTP/1.1 101 ")
    return client


def send_blocks(client: socket.socket, blocks: int) -> None:
    """Send this many MiB."""
    for _ in range(blocks):
        client.sendall(BLOCK)


def send_until_blocked(client: socket.socket) -> int:
    """Send until the socket accepts nothing for a moment; return the number of bytes."""
    client.settimeout(0.2)
    sent = 0
    with suppress(TimeoutError):
        while True:
            sent += client.send(memoryview(BLOCK)[sent % len(BLOCK) :])
    return sent


def receive_slowly(client: socket.socket, size: int) -> None:
    """Receive size bytes, with a pause in between."""
    buffer = bytearray(MIB)
    received = pauses = 0
    while received < size:
        got = client.recv_into(buffer)
        assert got
        received += got
        if received > pauses * size // 8:
            pauses += 1
            trio.from_thread.run(trio.sleep, 0.2)


async def test_slow_reader(process_relay: ProcessRelay) -> None:
    """A GiB through a pair with a slow reader leaves nothing in the relay."""
    mebibytes = 1024
    with join(process_relay, "code") as a, join(process_relay, "code") as b:
        warm_up = 8
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, send_blocks, a, warm_up)
            await trio.to_thread.run_sync(receive_slowly, b, warm_up * (MIB - 14))
        before = process_relay.memory()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, send_blocks, a, mebibytes)
            await trio.to_thread.run_sync(receive_slowly, b, mebibytes * (MIB - 14))
        assert process_relay.memory() - before < 4 * MIB


@pytest.mark.parametrize("pairs", [20])
async def test_stalled_readers(process_relay: ProcessRelay, pairs: int) -> None:
    """A reader that reads nothing costs the relay about one read."""
    for code in ("warm", "up"):
        join(process_relay, code).close()
    before = process_relay.memory()
    clients = [(join(process_relay, f"{n}"), join(process_relay, f"{n}")) for n in range(pairs)]
    try:
        async with trio.open_nursery() as nursery:
            for a, _ in clients:
                nursery.start_soon(trio.to_thread.run_sync, send_until_blocked, a)
        assert await process_relay.pairs() == pairs
        assert process_relay.memory() - before < pairs * MIB
    finally:
        for a, b in clients:
            a.close()
            b.close()


async def test_early_data(process_relay: ProcessRelay) -> None:
    """Endless early data stays with its sender, and the relay notices at once when it leaves."""
    join(process_relay, "warm-up").close()
    before = process_relay.memory()
    with join(process_relay, "code") as a:
        # A reset on closing: an end would wait, in the client's system, behind what is not read.
        a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert await trio.to_thread.run_sync(send_until_blocked, a) > EARLY_DATA_LIMIT
        assert await process_relay.pairs() == 1
        assert process_relay.memory() - before < MIB
    with trio.fail_after(10):
        while await process_relay.pairs():
            await trio.sleep(0.01)


FLOOD = encode(BINARY, b"x") * 8571 + encode(0x3)
"""60 KB of messages of one byte, and then a frame that violates a rule."""


def violate(relay: ProcessRelay, times: int) -> None:
    """Violate a rule this often, each time on a new connection and behind many tiny messages."""
    for _ in range(times):
        with join(relay, "code") as client:
            client.sendall(FLOOD)
            client.shutdown(socket.SHUT_WR)
            while client.recv(MIB):
                pass


async def test_violators(process_relay: ProcessRelay) -> None:
    """Clients that violate a rule leave nothing behind, however many they are."""
    await trio.to_thread.run_sync(violate, process_relay, 20)
    before = process_relay.memory()
    await trio.to_thread.run_sync(violate, process_relay, 100)
    assert process_relay.memory() - before < 4 * MIB


@pytest.mark.parametrize("waiting", [True, False])
async def test_flood_of_pings(process_relay: ProcessRelay, waiting: bool) -> None:
    """A client that pings and never reads a pong fills its own connection, not the memory."""
    bystanders = await process_relay.pair("bystanders")
    await exchange(*bystanders)
    client = await process_relay.join("hostile")
    if not waiting:
        await process_relay.join("hostile")
    before = process_relay.memory()
    pings = encode(PING, bytes(125)) * 1000
    with trio.move_on_after(3):
        for _ in range(1000):  # 130 MB
            await client.send(pings)
    assert process_relay.memory() - before < 4 * 2**20
    await exchange(*bystanders)
    await exchange(*await process_relay.pair("new"))
