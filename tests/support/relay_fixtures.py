"""A relay for each test, in memory or on a TCP port, that must be empty and stopped at the end."""

from __future__ import annotations

import re
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from relay import RelayHandle, RelaySettings, RelayStatistics, serve_relay

from .process import LOOPBACK, Program, run_program
from .raw_client import Client


def is_empty(statistics: RelayStatistics) -> bool:
    """Return True if a relay has no pairs, no waiting sides and no connections."""
    return not (statistics.pairs or statistics.waiting or statistics.connections)


TIME_LIMIT = 60.0

StreamPair = tuple[trio.abc.Stream, trio.abc.Stream]


class MemoryListener(trio.abc.Listener[trio.abc.Stream]):
    """Listener whose clients are memory streams."""

    def __init__(self) -> None:
        self._to_accept, self._accepted = trio.open_memory_channel[trio.abc.Stream](1000)
        self.accepted = 0
        """Number of accepted streams."""

    async def accept(self) -> trio.abc.Stream:
        stream = await self._accepted.receive()
        self.accepted += 1
        return stream

    async def connect(self, make: Callable[[], StreamPair]) -> trio.abc.Stream:
        """Return the client's end of a new connection."""
        client, server = make()
        await self._to_accept.send(server)
        return client

    async def aclose(self) -> None:
        """Close, and drop connections that were not accepted, as the kernel does."""
        with suppress(trio.WouldBlock, trio.ClosedResourceError):
            while True:
                await trio.aclose_forcefully(self._accepted.receive_nowait())
        self._accepted.close()


class RunningRelay(ABC):
    """Relay under test, with all clients that a test connected to it."""

    def __init__(self) -> None:
        self.handle: RelayHandle
        self._clients: list[Client] = []

    @abstractmethod
    async def open_stream(self, *, lockstep: bool = False) -> trio.abc.Stream:
        """Return the client's end of a new connection."""

    async def connect(self, *, lockstep: bool = False) -> Client:
        """Return a client that has sent nothing; lockstep is for memory streams only."""
        client = Client(await self.open_stream(lockstep=lockstep))
        self._clients.append(client)
        return client

    async def join(self, code: str, *, lockstep: bool = False) -> Client:
        """Return a client that has joined, as side A or B."""
        client = await self.connect(lockstep=lockstep)
        response = await client.upgrade(f"/?pair={code}")
        assert response.status == 101, response
        return client

    async def pair(self, code: str = "code", *, lockstep: bool = False) -> tuple[Client, Client]:
        """Return two clients that are joined."""
        return (
            await self.join(code, lockstep=lockstep),
            await self.join(code, lockstep=lockstep),
        )

    async def hang_up(self) -> None:
        """Drop every client."""
        for client in self._clients:
            await trio.aclose_forcefully(client.stream)


class RealTimeRelay(RunningRelay):
    """Relay in this process, on sockets."""

    async def end(self) -> None:
        """Drop every client; the relay must become empty, and is stopped."""
        await self.hang_up()
        with trio.fail_after(30):
            while not is_empty(self.handle.statistics()):
                await trio.sleep(0.001)
            await self.handle.stop()


class MemoryRelay(RunningRelay):
    """Relay whose clients are memory streams.

    A test that requests ``autojump_clock`` too has virtual time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.listener = MemoryListener()

    async def open_stream(self, *, lockstep: bool = False) -> trio.abc.Stream:
        make = trio.testing.lockstep_stream_pair if lockstep else trio.testing.memory_stream_pair
        return await self.listener.connect(make)


class TcpRelay(RealTimeRelay):
    """Relay on a TCP port of the loopback interface."""

    async def open_stream(self, *, lockstep: bool = False) -> trio.abc.Stream:
        assert not lockstep
        return await trio.open_tcp_stream("127.0.0.1", self.handle.port)

    def url(self, code: str, path: str = "/") -> str:
        """Return the URL of a pair."""
        return f"ws://127.0.0.1:{self.handle.port}{path}?pair={code}"


class ProcessRelay(RunningRelay):
    """Relay in a process of its own, as users start it, and its clients.

    With ``tls``, the clients speak TLS.
    """

    def __init__(self, program: Program, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.program = program
        self.process = program.process
        self.log = program.log
        self.port = program.port
        self.tls = tls

    async def open_stream(self, *, lockstep: bool = False) -> trio.abc.Stream:
        assert not lockstep
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        if self.tls is None:
            return stream
        return trio.SSLStream(stream, self.tls, server_hostname="localhost", https_compatible=True)

    async def pairs(self) -> int:
        """Return the number of codes in use, from the health of the relay."""
        async with Client(await self.open_stream()) as client:
            response = await client.get("/health")
        found = re.fullmatch(rb'{"ok":true,"pairs":(\d+)}', response.body)
        assert found is not None, response
        return int(found[1])

    def memory(self) -> int:
        """Return the maximum memory of the process so far, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
        assert found is not None, status
        return int(found[1]) * 1024


@pytest.fixture
async def time_limit(nursery: trio.Nursery) -> None:
    """End a test that takes longer than TIME_LIMIT; every test in real time requests this."""

    async def run_out() -> None:
        await trio.sleep(TIME_LIMIT)
        raise trio.TooSlowError

    nursery.start_soon(run_out)


@pytest.fixture
def settings() -> RelaySettings:
    """Return the settings of the relay of a test, which may override this.

    The clients of most tests answer no pings, and some read nothing for long.
    """
    return RelaySettings(ping_interval=0, stall_timeout=0, takeover_timeout=0)


@pytest.fixture
async def memory_relay(
    settings: RelaySettings, nursery: trio.Nursery
) -> AsyncIterator[MemoryRelay]:
    """Run a relay in memory; it must be empty once its clients have left."""
    relay = MemoryRelay()
    relay.handle = await nursery.start(
        partial(serve_relay, listeners=[relay.listener], settings=settings)
    )
    yield relay
    await relay.hang_up()
    await trio.testing.wait_all_tasks_blocked()
    assert is_empty(relay.handle.statistics())
    await relay.handle.stop()


@pytest.fixture
async def tcp_relay(
    settings: RelaySettings, nursery: trio.Nursery, time_limit: None
) -> AsyncIterator[TcpRelay]:
    """Run a relay on a free port; it must be empty once its clients have left."""
    relay = TcpRelay()
    relay.handle = await nursery.start(
        partial(serve_relay, host="127.0.0.1", port=0, settings=settings)
    )
    yield relay
    await relay.end()


@pytest.fixture
def options() -> Sequence[str]:
    """Return the options of the relay process of a test."""
    return ()


@pytest.fixture
def variables() -> Mapping[str, str]:
    """Return the environment variables of the relay process of a test."""
    return {}


@pytest.fixture
def client_tls() -> ssl.SSLContext | None:
    """Return the TLS context of the clients of a relay process, or None."""
    return None


@pytest.fixture
async def process_relay(
    options: Sequence[str],
    variables: Mapping[str, str],
    client_tls: ssl.SSLContext | None,
    tmp_path: Path,
    time_limit: None,
) -> AsyncIterator[ProcessRelay]:
    """Run a relay process, which SIGTERM must end with status 0, unless the test has ended it."""
    log = tmp_path / "relay.log"
    async with run_program(*LOOPBACK, *options, log=log, variables=variables) as program:
        relay = ProcessRelay(program, client_tls)
        yield relay
        await relay.hang_up()
        if program.process.poll() is not None:
            assert program.process.returncode == 0
