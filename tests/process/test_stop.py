"""Graceful stop of the program by signals."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import pytest
import trio

from tests.support.raw_client import BINARY, CLOSE, CONTINUATION, Client, encode, encode_close
from tests.support.relay_fixtures import ProcessRelay

STOPPING = (1001, "relay stopping")
SIGNALS = [signal.SIGINT, signal.SIGTERM]


async def expect_closed(client: Client) -> None:
    """Receive and answer the close frame of a relay that stops."""
    assert await client.closed() == STOPPING


@pytest.mark.parametrize("by", SIGNALS)
async def test_all_sides_are_closed(process_relay: ProcessRelay, by: signal.Signals) -> None:
    """Both sides of a pair and a waiting side get 1001, and the exit status is 0."""
    clients = [*await process_relay.pair("pair"), await process_relay.join("waiting")]
    process_relay.process.send_signal(by)
    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(expect_closed, client)
    assert await process_relay.process.wait() == 0


@pytest.mark.parametrize("by", SIGNALS)
async def test_in_the_middle_of_bulk(process_relay: ProcessRelay, by: signal.Signals) -> None:
    """A receiver of a stream of messages gets whole frames and then 1001."""
    a, b = await process_relay.pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_for_ever, a)
        for number in range(1000):
            frame = await b.frame()
            if number == 100:
                process_relay.process.send_signal(by)
            if frame.opcode == CLOSE:
                break
            assert frame.opcode in {BINARY, CONTINUATION}
            assert not any(frame.payload)
        assert frame.payload == b"\x03\xe9relay stopping"
        await b.send(encode_close(1001))
        assert await b.rest() == b""
        nursery.cancel_scope.cancel()
    await trio.aclose_forcefully(a.stream)  # which does not answer its close frame
    assert await process_relay.process.wait() == 0


async def send_for_ever(client: Client) -> None:
    """Send messages until cancelled, or until they are not read any more."""
    message = encode(BINARY, bytes(100_000))
    try:
        while True:
            await client.send(message)
    except trio.BrokenResourceError:
        await trio.sleep_forever()


class TestUnresponsive:
    """Client that does not answer its close frame."""

    @pytest.fixture
    def options(self) -> Sequence[str]:
        """Return a short closing timeout."""
        return ["--close-timeout", "0.5"]

    async def test_unresponsive_client(self, process_relay: ProcessRelay) -> None:
        """The client does not keep the program from ending, and gets its close frame."""
        waiting = await process_relay.join("waiting")
        process_relay.process.terminate()
        assert await process_relay.process.wait() == 0
        assert await waiting.close_frame() == STOPPING

    async def test_client_that_reads_nothing(self, process_relay: ProcessRelay) -> None:
        """A client with full buffers does not keep the program from ending either."""
        a, _ = await process_relay.pair()
        with trio.move_on_after(0.3):
            await a.send(encode(BINARY, bytes(64 * 2**20)))
        process_relay.process.terminate()
        assert await process_relay.process.wait() == 0


@pytest.mark.parametrize("by", SIGNALS)
async def test_idle(process_relay: ProcessRelay, by: signal.Signals) -> None:
    """Without clients the program ends at once."""
    process_relay.process.send_signal(by)
    assert await process_relay.process.wait() == 0
