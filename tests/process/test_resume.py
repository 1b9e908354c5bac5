"""Streams between two endpoints arrive whole, although their relay is killed or the network fails.

RESUME_MIB sets the size of each stream, and -s prints the time from the start of each relay to the
next connection of both endpoints:

    RESUME_MIB=1024 pytest -s tests/process/test_resume.py
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from relay.client import ClientEvent, Connected, Link, Session, connect, serve
from tests.support.network_namespaces import NEAR_ADDRESS, NearRelay, namespaces, near_relay
from tests.support.ports import reserved_port
from tests.support.process import Program, run_program

__all__ = ["namespaces", "near_relay"]

MIB = 2**20
OpenStream = Callable[[], Awaitable[trio.abc.Stream]] | None

SIZE = int(os.environ.get("RESUME_MIB", "32")) * MIB
INTERRUPTIONS = 3
SILENCE = 5.0
"""Seconds after which an endpoint gives up a silent connection."""

KILL, STOP = signal.SIGKILL, signal.SIGTERM


@pytest.fixture
async def time_limit(nursery: trio.Nursery) -> None:
    """End a test that takes longer than 60 s, and 1 s more for each MiB."""

    async def run_out() -> None:
        await trio.sleep(60 + SIZE / MIB)
        raise trio.TooSlowError

    nursery.start_soon(run_out)


class RestartedRelay:
    """Relay process on a fixed port that is ended and started again."""

    def __init__(self, port: int, log: Path, stack: AsyncExitStack) -> None:
        self.port = port
        self.started_at = 0.0
        self._log = log
        self._stack = stack
        self._program: Program

    async def start(self) -> None:
        """Start a relay."""
        options = ("--host", "127.0.0.1", "--port", str(self.port))
        running = run_program(*options, log=self._log)
        self._program = await self._stack.enter_async_context(running)
        self.started_at = trio.current_time()

    async def restart(self, by: signal.Signals, pause: float) -> None:
        """End the relay by a signal, and start another one after some seconds."""
        self._program.process.send_signal(by)
        with trio.fail_after(30):
            await self._program.process.wait()
        await trio.sleep(pause)
        await self.start()


@asynccontextmanager
async def restarted_relay(log: Path) -> AsyncIterator[RestartedRelay]:
    """Run a relay on a port that is kept for it."""
    with reserved_port() as port:
        async with AsyncExitStack() as stack:
            relay = RestartedRelay(port, log, stack)
            await relay.start()
            yield relay


class Progress:
    """Bytes that both endpoints have received, and their connections."""

    def __init__(self) -> None:
        self.received = 0
        self.connected_at: list[float] = []

    def on_event(self, event: ClientEvent) -> None:
        """Record a connection of a session."""
        if isinstance(event, Connected):
            self.connected_at.append(trio.current_time())

    async def reach(self, size: int) -> None:
        """Wait until this number of bytes was received."""
        while self.received < size:
            await trio.sleep(0.005)

    async def reach_connections(self, number: int) -> None:
        """Wait until the sessions have had this number of connections."""
        while len(self.connected_at) < number:
            await trio.sleep(0.005)


def pieces(seed: int) -> Iterator[bytes]:
    """Yield the parts of a pseudorandom stream."""
    generator = random.Random(seed)
    for _ in range(SIZE // MIB):
        yield generator.randbytes(MIB)


async def send(session: Session, seed: int, sent: dict[int, str]) -> None:
    """Send a pseudorandom stream, and record its hash."""
    total = hashlib.sha256()
    for piece in pieces(seed):
        total.update(piece)
        await session.send_all(piece)
    await session.send_eof()
    sent[seed] = total.hexdigest()


async def receive(session: Session, progress: Progress, pause: float) -> str:
    """Receive a stream to its end, with a pause after each read; return its hash."""
    total = hashlib.sha256()
    while data := await session.receive_some():
        total.update(data)
        progress.received += len(data)
        if pause:
            await trio.sleep(pause)
    return total.hexdigest()


class Exchange:
    """Streams in both directions over a link."""

    def __init__(self, link: Link, pause: float = 0.0) -> None:
        self.progress = Progress()
        self._link = link
        self._pause = pause
        self._sent: dict[int, str] = {}
        self._received: dict[int, str] = {}

    async def run(self, open_at_host: OpenStream = None, open_at_guest: OpenStream = None) -> None:
        """Exchange the streams; both must arrive whole."""
        on_event = self.progress.on_event

        async def host(*, task_status: trio.TaskStatus[None]) -> None:
            await serve(
                self._link,
                partial(self._exchange, 1, 2, self._pause),
                once=True,
                on_event=on_event,
                open_stream=open_at_host,
                task_status=task_status,
            )

        async with trio.open_nursery() as nursery:
            await nursery.start(host)
            async with connect(self._link, on_event=on_event, open_stream=open_at_guest) as session:
                await self._exchange(2, 1, 0, session)
        assert self._sent == self._received
        assert len(self._sent) == 2

    async def _exchange(self, own: int, other: int, pause: float, session: Session) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, session, own, self._sent)
            self._received[other] = await receive(session, self.progress, pause)


@pytest.mark.parametrize("pause", [0, 0.002], ids=["fast", "slow host"])
async def test_relay_is_killed_and_stopped(tmp_path: Path, pause: float, time_limit: None) -> None:
    """Nothing is lost or repeated when the relay is killed, stopped and started again."""
    async with restarted_relay(tmp_path / "relay.log") as relay, trio.open_nursery() as nursery:
        link = Link.new(f"ws://127.0.0.1:{relay.port}/")
        exchange = Exchange(link, pause)
        progress = exchange.progress
        nursery.start_soon(exchange.run)
        for number in range(1, INTERRUPTIONS + 1):
            await progress.reach(2 * SIZE * number // (INTERRUPTIONS + 1))
            connections = len(progress.connected_at)
            await relay.restart(by=(KILL, STOP)[number % 2], pause=0.1 * number)
            await progress.reach_connections(connections + 2)
            print(f"{progress.connected_at[-1] - relay.started_at:.3f} s")  # noqa: T201 - see above


async def test_network_fails(near_relay: NearRelay) -> None:
    """Nothing is lost or repeated when the network of one endpoint drops all packets for a time."""
    port = near_relay.handle.port

    async def open_stream(namespace: str) -> trio.abc.Stream:
        sock = near_relay.namespaces.socket(namespace)
        await sock.connect((NEAR_ADDRESS, port))
        return trio.SocketStream(sock)

    spaces = near_relay.namespaces
    exchange = Exchange(Link.new(f"ws://{NEAR_ADDRESS}:{port}/"))
    async with trio.open_nursery() as nursery:
        near, far = partial(open_stream, spaces.near), partial(open_stream, spaces.far)
        nursery.start_soon(exchange.run, near, far)
        await exchange.progress.reach(SIZE)
        connections = len(exchange.progress.connected_at)
        spaces.go_dead()
        await trio.sleep(SILENCE + 0.5)
        spaces.recover()
        recovered_at = trio.current_time()
        await exchange.progress.reach_connections(connections + 2)
        print(f"{trio.current_time() - recovered_at:.3f} s")  # noqa: T201 - see above
