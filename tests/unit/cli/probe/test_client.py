"""One side of a probe: responses to its upgrade, and its end."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
import trio
import trio.testing

from relay.cli.probe.client import Awaited, RecordingStream, run_client
from relay.cli.probe.hints import Failure
from tests.support.probe_proxies import Impostor, Proxy, Script, plan_for, probe

CUT = "was cut, without a close frame"

KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


@pytest.mark.parametrize(
    ("answer", "error", "hint"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP 200 OK in", "a web page answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HTTP 200 OK in", "a web page answered"),
        (
            b"HTTP/1.0 400 No\r\n\r\n<p>No</p>",
            "HTTP 400 Bad Request in",
            "requires wss://",
        ),
        (b"HTTP/1.1 301 x\r\n\r\n", "HTTP 301 Moved Permanently in", "wss://"),
        (b"HTTP/1.1 401 x\r\n\r\n", "HTTP 401 Unauthorized in", "login of its own"),
        (b"HTTP/1.1 418 x\r\n\r\n", "HTTP 418 I'm a Teapot in", "does not let"),
        (b"HTTP/1.1 502 x\r\n\r\n", "HTTP 502 Bad Gateway in", "does not reach the relay"),
        (b"HTTP/1.1 599 x\r\n\r\n", "HTTP 599 in", "in trouble"),
        (b"HTTP/1.1 101 x\r\n\r\n", "HTTP 101, but not for this upgrade", "makes up"),
        (b"\x15\x03\x01\x00\x02\x02\x50", "a TLS alert", "use wss://"),
        (b"SSH-2.0-OpenSSH\r\n", "not HTTP/1.1", "something other than HTTP"),
        (b"", "closed without an answer", "speaks TLS"),
    ],
)
async def test_refused(nursery: trio.Nursery, answer: bytes, error: str, hint: str) -> None:
    """Any response in place of 101 is described in one line, with a hint."""
    script = Script(nursery, answer)
    results, last = await probe(plan_for(script.open_stream))
    assert (len(results), last.ok) == (2, False)
    assert error in last.error
    assert hint in last.hint


async def test_endless_answer(nursery: trio.Nursery) -> None:
    """An endless response is read no further than its status."""
    script = Script(nursery, b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100_000), stay=True)
    _, last = await probe(plan_for(script.open_stream))
    assert last.error == "HTTP 200 OK in place of 101, from another server"
    nursery.cancel_scope.cancel()


async def test_no_answer(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    """A missing response is reported after the timeout, by its name."""
    script = Script(nursery, b"", stay=True)
    _, last = await probe(plan_for(script.open_stream))
    assert last.error == "no answer to the upgrade within 30 s"
    assert "wss://" in last.hint
    assert last.seconds == pytest.approx(30)
    nursery.cancel_scope.cancel()


async def test_side_that_was_cut(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """Each method of a side raises its failure after its end, and does not wait."""
    impostor = Impostor(nursery)
    request = plan_for(impostor.open_stream).request
    side = await nursery.start(run_client, "A", request, Awaited())
    assert side.failure is None
    await impostor.cut()
    for action in (side.receive, side.ping, lambda: side.send(b"late")):
        with pytest.raises(Failure, match=CUT):
            await action()
    failure = side.failure
    assert failure is not None
    assert CUT in failure.text
    await side.close()


async def test_side_that_is_cut(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A ping, for which trio-websocket would wait for ever, ends with the connection."""
    hole = Proxy(nursery, Impostor(nursery).open_stream, silence=5, hole=True)
    cutter = Proxy(nursery, hole.open_stream, silence=8)
    side = await nursery.start(run_client, "A", plan_for(cutter.open_stream).request, Awaited())
    await trio.sleep(6)
    with trio.fail_after(9), pytest.raises(Failure, match=CUT):
        await side.ping()
    nursery.cancel_scope.cancel()


async def test_ping_behind_a_close_frame(nursery: trio.Nursery) -> None:
    """An exception in the reader task of trio-websocket ends the connection only."""
    near, far = trio.testing.memory_stream_pair()

    async def open_stream(awaited: Awaited) -> trio.abc.Stream:
        return near

    async def ping_late() -> None:
        head = bytes(await far.receive_some())
        found = re.search(rb"sec-websocket-key: (\S+)", head, re.IGNORECASE)
        assert found is not None
        accept = base64.b64encode(hashlib.sha1(found[1] + KEY_SUFFIX).digest())  # noqa: S324
        await far.send_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        await far.receive_some()
        await far.send_all(b"\x89\x00")

    nursery.start_soon(ping_late)
    side = await nursery.start(run_client, "A", plan_for(open_stream).request, Awaited())
    with trio.fail_after(10):
        await side.close()
    assert side.ended.is_set()


async def test_watched_stream() -> None:
    """The recording stream waits like the stream below it."""
    near, _ = trio.testing.memory_stream_pair()
    await RecordingStream(near).wait_send_all_might_not_block()
