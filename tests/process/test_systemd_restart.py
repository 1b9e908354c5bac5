"""Restart of a relay whose listening socket remains open: no client is refused."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.support.process import run_program
from tests.support.raw_client import BINARY, CLOSE, Client, encode_close, upgrade_request

CODES = 100
JOINED, WAITING, HALF_A_HEAD = 30, 10, 10
"""Codes with early sides, before the first stop: both sides, one, and both with half a head."""

EARLY, LATE = b"early", b"late"


class Restart:
    """State that the sides of all codes share."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.stopping = trio.Event()
        """Set when the first relay has begun to stop."""
        self.up = trio.Event()
        """Set when the second relay runs."""
        self.connects = 0
        self.closed = 0
        """Connections that ended because the relay stopped."""


class Code:
    """Code whose two sides join again until each got a message of the other, after the restart."""

    def __init__(self, restart: Restart, number: int) -> None:
        self._restart = restart
        self._target = f"/?pair=code-{number}"
        self._got: set[str] = set()
        self._done = trio.Event()
        self.met = trio.Event()
        """Set when a message arrived, before or after the restart."""

    async def run_side(self, side: str, *, slow: bool = False) -> None:
        """Run a side; a slow one completes its first head when the first relay is stopping."""
        while not self._done.is_set():
            async with Client(
                await trio.open_tcp_stream("127.0.0.1", self._restart.port)
            ) as client:
                self._restart.connects += 1
                request = upgrade_request(self._target)
                if slow:
                    await client.send(request[:20])
                    await self._restart.stopping.wait()
                    request, slow = request[20:], False
                await client.send(request)
                response = await client.response()
                assert response.status == 101, response
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send, client, nursery.cancel_scope)
                    await self._read(client, side)
                    nursery.cancel_scope.cancel()
                if not self._done.is_set():
                    self._restart.closed += 1
                    await client.send(encode_close(1001))

    async def _send(self, client: Client, scope: trio.CancelScope) -> None:
        await client.send_message(EARLY)
        await self._restart.up.wait()
        await client.send_message(LATE)
        await self._done.wait()
        scope.cancel()

    async def _read(self, client: Client, side: str) -> None:
        """Read until the relay stops; no other end is allowed."""
        while (frame := await client.frame()).opcode == BINARY:
            self.met.set()
            if frame.payload == LATE:
                self._got.add(side)
                if len(self._got) == 2:
                    self._done.set()
        assert (frame.opcode, frame.payload) == (CLOSE, b"\x03\xe9relay stopping")


@pytest.fixture
def inherited() -> Iterator[socket.socket]:
    """Return the socket that a supervisor holds, and passes to each relay."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as sock:
        yield sock


async def test_restart(inherited: socket.socket, tmp_path: Path, time_limit: None) -> None:
    """200 clients connect around a restart: each gets its 101, and reaches its peer in the end."""
    restart = Restart(inherited.getsockname()[1])
    codes = [Code(restart, number) for number in range(CODES)]
    run = partial(run_program, inherited=inherited)
    async with trio.open_nursery() as nursery:
        async with run(log=tmp_path / "first") as first:
            for number, code in enumerate(codes[: JOINED + WAITING + HALF_A_HEAD]):
                slow = number >= JOINED + WAITING
                nursery.start_soon(partial(code.run_side, "a", slow=slow))
                if slow or number < JOINED:
                    nursery.start_soon(partial(code.run_side, "b", slow=slow))
            for code in codes[:JOINED]:
                await code.met.wait()
            nursery.start_soon(join_late, nursery, codes)
            await trio.sleep(0.01)
            first.process.send_signal(signal.SIGTERM)
            await first.line("stopping")
            restart.stopping.set()
            assert await first.wait() == 0
        async with run(log=tmp_path / "second"):
            restart.up.set()
            while nursery.child_tasks:
                await trio.sleep(0.01)
    assert restart.closed >= 2 * JOINED
    assert restart.connects == 2 * CODES + restart.closed


async def join_late(nursery: trio.Nursery, codes: list[Code]) -> None:
    """Join the other sides, one after another."""
    for number, code in enumerate(codes[JOINED:], JOINED):
        for side in "ab":
            if number >= JOINED + WAITING + HALF_A_HEAD or (
                number < JOINED + WAITING and side == "b"
            ):
                nursery.start_soon(code.run_side, side)
                await trio.sleep(0.001)
