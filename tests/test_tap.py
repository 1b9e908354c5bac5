"""The tap keeps to the interface of a stream, also where trio-websocket does not use it."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from relay.splitter import FrameSplitter
from relay.tap import Tap
from relay.wire import StreamWire


async def test_interface(nursery: trio.Nursery) -> None:
    """It never has to be waited for to be sent to, and a closed one has nothing to receive."""
    wire = StreamWire(trio.testing.memory_stream_pair()[0], nursery)
    tap = Tap(wire, FrameSplitter())
    await tap.wait_send_all_might_not_block()
    assert (await tap.receive_some()).startswith(b"GET ")
    await tap.send_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    await tap.aclose()
    assert tap.closed.is_set()
    with pytest.raises(trio.ClosedResourceError):
        await tap.receive_some()
