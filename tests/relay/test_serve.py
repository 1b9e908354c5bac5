"""`serve_relay` and its handle, for programs that embed the relay."""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import pytest
import trio
import trio.testing

from relay import RelayHandle, RelaySettings, serve_relay
from relay.server.exception_groups import leaves
from relay.server.serve import start_connection
from relay.server.shutdown import stop_at_once
from relay.server.state import RelayState
from tests.support.raw_client import Client, encode, encode_close, upgrade_request
from tests.support.relay_fixtures import MemoryListener, MemoryRelay, is_empty

STOPPING = (1001, "relay stopping")
CANARY = "what a client sent"


async def test_binds_the_requested_address() -> None:
    """The handle has the bound address; after a stop, serve_relay returns."""
    async with trio.open_nursery() as nursery:
        handle: RelayHandle = await nursery.start(
            partial(serve_relay, host="127.0.0.1", port=0, settings=RelaySettings())
        )
        assert handle.host == "127.0.0.1"
        async with Client(await trio.open_tcp_stream(handle.host, handle.port)) as client:
            assert (await client.get("/health")).status == 200
        await handle.stop()
        await handle.stop()
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream(handle.host, handle.port)


async def test_port_in_use() -> None:
    """A port that cannot be bound raises OSError."""
    async with (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] as listener:
        with pytest.raises(OSError, match="in use") as caught:
            await serve_relay(host="127.0.0.1", port=listener.socket.getsockname()[1])
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("listeners", [[], (), iter([])])
async def test_no_listeners(listeners: Iterable[trio.SocketListener]) -> None:
    """A relay without listeners is not started, and the error names the remedy."""
    with pytest.raises(ValueError, match=r"^listeners is empty; leave it out to listen on host "):
        await serve_relay(listeners=listeners)


async def test_listeners_of_any_kind() -> None:
    """Listeners may come from an iterator, and are closed at the end."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        serve = partial(serve_relay, listeners=iter(listeners))
        handle: RelayHandle = await nursery.start(serve)
        assert handle.port > 0
        await handle.stop()
    assert listeners[0].socket.fileno() < 0


async def test_limit_in_force() -> None:
    """The handle has the effective limit of connections, not the setting."""
    async with trio.open_nursery() as nursery:
        for limit in (None, 7):
            settings = RelaySettings(max_connections=limit)
            serve = partial(serve_relay, listeners=[MemoryListener()], settings=settings)
            handle: RelayHandle = await nursery.start(serve)
            assert handle.max_connections > 0
            assert limit is None or handle.max_connections == limit
            await handle.stop()


async def test_address_of_other_listeners(memory_relay: MemoryRelay) -> None:
    """A listener that is not on TCP has no address."""
    assert (memory_relay.handle.host, memory_relay.handle.port) == ("", 0)


async def stop(relay: MemoryRelay, _nursery: trio.Nursery) -> None:
    """Stop the relay by its handle."""
    await relay.handle.stop()


async def cancel(_relay: MemoryRelay, nursery: trio.Nursery) -> None:
    """Cancel the nursery of the relay."""
    nursery.cancel_scope.cancel()
    await trio.lowlevel.cancel_shielded_checkpoint()


@pytest.mark.parametrize("end", [stop, cancel])
async def test_all_sides_are_closed(
    end: Callable[[MemoryRelay, trio.Nursery], Awaitable[None]],
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A stopped or cancelled relay sends 1001 to every side, and drops unfinished handshakes."""
    relay = MemoryRelay()
    async with trio.open_nursery() as clients:
        async with trio.open_nursery() as nursery:
            relay.handle = await nursery.start(
                partial(serve_relay, listeners=[relay.listener], settings=RelaySettings())
            )
            a, b = await relay.pair()
            waiting = await relay.join("other")
            unfinished = await relay.connect()
            await unfinished.send(b"GET")
            start = trio.current_time()
            for client in (a, b, waiting):
                clients.start_soon(expect_closed, client, STOPPING)
            await end(relay, nursery)
        assert trio.current_time() == start
        assert await unfinished.rest() == b""
    assert is_empty(relay.handle.statistics())


async def expect_closed(client: Client, expected: tuple[int, str]) -> None:
    """Receive and answer a close frame, which must be the expected one."""
    assert await client.closed() == expected


async def test_stop_between_frames(memory_relay: MemoryRelay) -> None:
    """A frame that the relay is sending when it stops is completed before the close frame."""
    a, b = await memory_relay.join("code", lockstep=True), await memory_relay.join("code")
    await b.send_message(bytes(300_000))
    await trio.testing.wait_all_tasks_blocked()  # the relay is blocked inside a frame to a
    async with trio.open_nursery() as nursery:
        nursery.start_soon(memory_relay.handle.stop)
        nursery.start_soon(expect_closed, b, STOPPING)
        await trio.testing.wait_all_tasks_blocked()
        frame = await a.frame()
        assert not frame.fin
        assert set(frame.payload) == {0}
        assert await a.closed() == STOPPING


async def test_unresponsive_clients_delay_the_stop_once(
    memory_relay: MemoryRelay, autojump_clock: trio.testing.MockClock
) -> None:
    """Any number of clients that do not answer delay the stop for one close timeout."""
    for number in range(10):
        a = await memory_relay.join(f"{number}", lockstep=number % 2 == 0)
        await memory_relay.join(f"{number}", lockstep=number % 3 == 0)
        await a.send_message(bytes(1000))
    start = trio.current_time()
    await memory_relay.handle.stop()
    assert trio.current_time() - start == pytest.approx(RelaySettings().close_timeout)


async def test_connection_accepted_while_stopping(nursery: trio.Nursery) -> None:
    """A connection whose task starts after the stop is closed like the others."""
    state = RelayState(RelaySettings())
    stop_at_once(state)
    ours, theirs = trio.testing.memory_stream_pair()
    start_connection(state, nursery, ours)
    await trio.testing.wait_all_tasks_blocked()
    assert await theirs.receive_some() == b""
    assert not state.connections


class FailingListener(MemoryListener):
    """Listener whose first accepts fail."""

    failures = 15

    async def accept(self) -> trio.abc.Stream:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "out of descriptors")
        return await super().accept()


async def test_accept_fails(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Without free descriptors, the relay retries ten times a second and logs once a second."""
    relay = MemoryRelay()
    relay.listener = FailingListener()
    async with trio.open_nursery() as nursery:
        relay.handle = await nursery.start(partial(serve_relay, listeners=[relay.listener]))
        start = trio.current_time()
        a, _ = await relay.pair()
        assert trio.current_time() - start == pytest.approx(1.5)
        await a.send_message(b"x")
        await relay.hang_up()
        await relay.handle.stop()
    assert [record.getMessage() for record in caplog.records] == ["accept failed: EMFILE"] * 2


async def test_cancelled_before_it_starts() -> None:
    """A relay that is cancelled before its start does not start, and closes its listeners."""
    listener = MemoryListener()
    with trio.fail_after(5), trio.CancelScope() as scope:
        scope.cancel()
        await serve_relay(listeners=[listener])
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()


class BrokenStream(trio.abc.Stream):
    """Stream that fails in unusual ways."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        raise RuntimeError(CANARY)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        raise NotImplementedError

    async def wait_send_all_might_not_block(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise RuntimeError(CANARY)


async def test_unexpected_failure(
    memory_relay: MemoryRelay, caplog: pytest.LogCaptureFixture
) -> None:
    """After any failure of one connection, another pair goes on, and the log has no detail."""
    caplog.set_level(logging.DEBUG, logger="relay")
    a, b = await memory_relay.pair()
    await memory_relay.listener.connect(lambda: (BrokenStream(), BrokenStream()))
    await trio.testing.wait_all_tasks_blocked()
    await a.send_message(b"undisturbed")
    assert await b.message() == b"undisturbed"
    assert caplog.records[0].getMessage() == "a connection failed: RuntimeError"
    assert "in receive_some" in caplog.records[1].getMessage()
    assert CANARY not in caplog.text


def test_failure_is_unwrapped() -> None:
    """A failure is named by its own exception, not by its exception groups."""
    errors = [ValueError(), TypeError(), KeyError()]
    group = ExceptionGroup("", [errors[0], ExceptionGroup("", [ExceptionGroup("", errors[1:])])])
    assert list(leaves(group)) == errors


async def test_canaries(
    memory_relay: MemoryRelay, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The relay logs neither codes nor payloads, at any level."""
    caplog.set_level(logging.DEBUG, logger="relay")
    a, b = await memory_relay.pair("canary-code")
    await a.send_message(b"canary-payload")
    await b.message()
    third = await memory_relay.connect()
    await third.send(upgrade_request("/canary-path?pair=canary-code", origin="canary-origin"))
    assert (await third.response()).status == 409
    await b.send(encode(0x3, b"canary-nonsense"))
    await b.closed()
    await a.send(encode_close(4000, "canary-reason"))
    await a.close_frame()
    assert "canary" not in caplog.text
    assert "canary" not in repr(memory_relay.handle)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("path", ["/health", "/ready"])
async def test_head(memory_relay: MemoryRelay, path: str) -> None:
    """HEAD has the status and the headers of GET, and no body."""
    get = await (await memory_relay.connect()).get(path)
    head = await (await memory_relay.connect()).get(path, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}
    assert head.headers["cache-control"] == "no-store"
