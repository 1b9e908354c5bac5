"""A relay without free descriptors keeps its pairs, and accepts again once there are some."""

from __future__ import annotations

import errno

import pytest
import trio
import trio.testing

from tests.support.raw_client import Client
from tests.support.relay_fixtures import MemoryListener
from tests.support.running_relay import exchange, running


class Scarce(MemoryListener):
    """Listener whose accepts fail while there is no descriptor."""

    def __init__(self) -> None:
        super().__init__()
        self.error: OSError | None = None
        self.failed = 0

    async def accept(self) -> trio.abc.Stream:
        stream = await super().accept()
        if self.error is None:
            return stream
        self._to_accept.send_nowait(stream)  # the client stays in the backlog
        self.failed += 1
        raise self.error


async def connect_client(listener: Scarce) -> Client:
    """Return a client that is not accepted yet."""
    return Client(await listener.connect(trio.testing.memory_stream_pair))


async def test_out_of_descriptors(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Pairs go on; all listeners together log once a second, and retry ten times a second."""
    listeners = [Scarce() for _ in range(3)]
    async with running(listeners=listeners) as relay:
        pair = [await connect_client(listeners[0]), await connect_client(listeners[1])]
        for client in pair:
            assert (await client.upgrade("/?pair=code")).status == 101
        for listener in listeners:
            listener.error = OSError(errno.EMFILE, "out of descriptors")
        waiting = [await connect_client(listener) for listener in listeners]
        for _ in range(10):
            await exchange(pair[0], pair[1])
            await trio.sleep(1)
        assert caplog.messages == ["accept failed: EMFILE"] * len(caplog.messages)
        assert 9 <= len(caplog.messages) <= 11
        assert relay.handle.statistics().accepts_failed == sum(it.failed for it in listeners)
        assert all(90 <= listener.failed <= 101 for listener in listeners)
        for listener in listeners:
            listener.error = None
        start = trio.current_time()
        for client in waiting:
            assert (await client.get("/health")).status == 200
        assert trio.current_time() - start <= 1
        for client in pair:
            await trio.aclose_forcefully(client.stream)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (OSError(errno.ENFILE, "all of the system"), "ENFILE"),
        (ConnectionAbortedError(errno.ECONNABORTED, "gone again"), "ECONNABORTED"),
        (OSError("no number"), "?"),
    ],
)
async def test_other_errors(
    error: OSError,
    name: str,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After any error of an accept, the next one is tried."""
    listener = Scarce()
    async with running(listeners=[listener]):
        listener.error = error
        client = await connect_client(listener)
        await trio.sleep(0.5)
        listener.error = None
        assert (await client.get("/health")).status == 200
        assert caplog.messages == [f"accept failed: {name}"]
