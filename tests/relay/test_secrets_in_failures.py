"""No report of a failure contains data of clients, even at level debug."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing

from relay import Event, Observer, serve_relay
from relay.daemon.log_observer import LogObserver
from relay.protocol.reframer import Parsed, Reframer
from tests.support.raw_client import Client, encode_close, upgrade_request
from tests.support.recorded_events import Log, bare_logging
from tests.support.relay_fixtures import MemoryRelay, StreamPair
from tests.support.secret_scenarios import WORD, payload

GONE = (trio.BrokenResourceError, trio.ClosedResourceError, trio.EndOfChannel)


@pytest.fixture
def log() -> Iterator[Log]:
    """Return a log in memory of all records."""
    with bare_logging():
        yield Log()


class Faulty(trio.abc.HalfCloseableStream):
    """Stream of which one method raises an exception with a secret message at its nth call."""

    def __init__(self, stream: Any, method: str, call: int) -> None:
        self._stream = stream
        self._method = method
        self._left = call

    def _count(self, method: str) -> None:
        if method == self._method:
            self._left -= 1
            if self._left <= 0:
                raise RuntimeError(f"{WORD} in {method}")

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data: bytes = await self._stream.receive_some(max_bytes)
        self._count("receive_some")
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._count("send_all")
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        raise AssertionError

    async def send_eof(self) -> None:
        self._count("send_eof")
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()
        self._count("aclose")


async def converse(a: Client, b: Client) -> None:
    """Run two clients until the relay or they themselves end; both leave."""
    for client in (a, b):
        with suppress(*GONE):
            await client.send(upgrade_request(f"/{WORD}?pair={WORD}", cookie=WORD))
            await trio.testing.wait_all_tasks_blocked()
            await client.send_message(payload())
            await trio.testing.wait_all_tasks_blocked()
    with suppress(*GONE):
        await b.send(encode_close(1000, WORD))
        await trio.testing.wait_all_tasks_blocked()
    for client in (a, b):
        await trio.aclose_forcefully(client.stream)
    await trio.testing.wait_all_tasks_blocked()


@pytest.mark.parametrize("faulty_a", [True, False])
@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("receive_some", 1),
        ("receive_some", 2),
        ("receive_some", 3),
        ("send_all", 1),
        ("send_all", 2),
        ("aclose", 1),
    ],
)
async def test_streams(  # noqa: PLR0917 - each is a knob or a part of the world
    memory_relay: MemoryRelay,
    log: Log,
    autojump_clock: trio.testing.MockClock,
    capfd: pytest.CaptureFixture[str],
    method: str,
    call: int,
    faulty_a: bool,
) -> None:
    """An unexpected exception of a stream is reported by its kind only."""

    def make() -> StreamPair:
        client, server = trio.testing.memory_stream_pair()
        return client, Faulty(server, method, call)

    good = await memory_relay.connect()
    bad = Client(await memory_relay.listener.connect(make))
    await converse(*((bad, good) if faulty_a else (good, bad)))
    said = log.text()
    assert WORD not in said + "".join(capfd.readouterr())
    if method == "send_all":  # whoever writes for others notices, and needs no line
        return
    assert "a connection failed: RuntimeError" in said
    assert "test_secrets_in_failures.py" in said


@pytest.mark.parametrize("chained", [True, False])
async def test_core(
    memory_relay: MemoryRelay,
    log: Log,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    chained: bool,
) -> None:
    """The message of a fault in the relay, and of its cause, is not reported either."""

    def feed(reframer: Reframer, data: bytes) -> Parsed:
        cause = ValueError(payload())
        if chained:
            raise KeyError(WORD, data) from cause
        raise cause

    monkeypatch.setattr(Reframer, "feed", feed)
    await converse(await memory_relay.connect(), await memory_relay.connect())
    said = log.text()
    assert f"a connection failed: {'KeyError' if chained else 'ValueError'}" in said
    assert WORD not in said


async def test_observer(
    nursery: trio.Nursery, log: Log, autojump_clock: trio.testing.MockClock
) -> None:
    """The message of an exception in an observer is not reported either; the relay goes on."""

    class Bad:
        def on_event(self, event: Event) -> None:
            LogObserver(log.log, "full").on_event(event)
            raise RuntimeError(f"{WORD} in {event}")

    relay, bad = MemoryRelay(), Bad()
    observer: Observer = bad
    relay.handle = await nursery.start(
        lambda task_status: serve_relay(
            listeners=[relay.listener], observer=observer, task_status=task_status
        )
    )
    await converse(await relay.connect(), await relay.connect())
    await relay.handle.stop()
    said = log.text()
    assert "the observer failed: RuntimeError" in said
    assert WORD not in said
