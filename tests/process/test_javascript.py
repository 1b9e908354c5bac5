"""Streams between clients/arc-relay.mjs and relay.client, in Node and in Chromium, over wss://."""

from __future__ import annotations

import json
import random
import signal
from typing import Final

import trio

from relay.client import Session, connect, serve
from tests.support.certificates import client_context
from tests.support.javascript_endpoints import SCRIPTS, TIME_LIMIT, NodeRuntime, Runtime
from tests.support.javascript_fixtures import (
    RestartedRelay,
    certificate,
    node,
    runtime,
    task,
    tls_relay,
)

__all__ = ["certificate", "node", "runtime", "tls_relay"]

SIZE: Final = 12 * 2**20
"""Bytes of a stream: more than the windows and the buffers of both endpoints."""

BUFFERED: Final = 4 * 4 * 2**20
"""Bytes that the endpoints keep at most, with an echo: a window and a buffer in each direction."""


async def send(session: Session, data: bytes) -> None:
    """Send a whole stream in small and large parts."""
    position = 0
    while position < len(data):
        size = random.choice((1, 1000, 100_000, 300_000))
        await session.send_all(data[position : position + size])
        position += size
    await session.send_eof()


async def check_echo(session: Session, tls_relay: RestartedRelay) -> None:
    """Check that the peer sends everything back, while the relay is killed twice."""
    data, received = random.randbytes(SIZE), bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, session, data)
        for point in (SIZE // 3, SIZE // 3 * 2, SIZE + 1):
            while len(received) < point and (part := await session.receive_some()):
                received += part
            if point < SIZE:
                await tls_relay.restart()
    same = received == data  # not in the assertion: the difference would take minutes to explain
    assert same


async def test_vectors(node: NodeRuntime) -> None:
    """Node computes the vectors of docs/endpoints-vectors.json."""
    done = await trio.run_process(
        ["node", str(SCRIPTS / "vectors.mjs")],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


async def test_cut_connections(node: NodeRuntime) -> None:
    """Streams between two JavaScript endpoints are right over a relay that cuts connections."""
    done = await trio.run_process(
        ["node", str(SCRIPTS / "cuts.mjs")], capture_stdout=True, capture_stderr=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


async def test_hostile_relay(node: NodeRuntime) -> None:
    """JavaScript endpoints bound what an attacker can do: bytes, messages and attempts."""
    done = await trio.run_process(
        ["node", str(SCRIPTS / "hostile.mjs")],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    facts = json.loads(done.stdout)
    reason = "another host may use this link: a peer connected and is no guest"
    assert facts["anotherHost"] == {"sent": [0], "reasons": [reason]}
    assert facts["thirdMessageEndsConnection"]
    assert facts["earlyMessages"] == 2
    assert 100_000 < facts["tinyMessages"] < 200_000
    assert 100 < facts["attempts"] < 200


async def test_host_over_killed_relays(tls_relay: RestartedRelay, runtime: Runtime) -> None:
    """A stream to a JavaScript host, and back, survives two deaths of the relay."""
    with trio.fail_after(TIME_LIMIT):
        async with runtime.run(task(tls_relay, "host", "echo")) as endpoint:
            async with connect(tls_relay.link, ssl_context=client_context()) as session:
                await check_echo(session, tls_relay)
            assert await endpoint.result() == {}
    assert sum(event["type"] == "Lost" for event in endpoint.events) >= 2


async def test_guest_over_killed_relays(tls_relay: RestartedRelay, runtime: Runtime) -> None:
    """A stream to a JavaScript guest, and back, survives two deaths of the relay."""
    with trio.fail_after(TIME_LIMIT):
        async with runtime.run(task(tls_relay, "guest", "echo")) as endpoint:
            await serve(
                tls_relay.link,
                lambda session: check_echo(session, tls_relay),
                ssl_context=client_context(),
                once=True,
            )
            assert await endpoint.result() == {"sent": SIZE, "received": SIZE}
    assert sum(event["type"] == "Lost" for event in endpoint.events) >= 2


async def test_backpressure(tls_relay: RestartedRelay, runtime: Runtime) -> None:
    """A sender whose peer does not read waits, and both streams go on when it reads."""
    data = bytes(2 * BUFFERED)
    with trio.fail_after(TIME_LIMIT):
        async with runtime.run(task(tls_relay, "host", "echo")) as endpoint:
            async with (
                connect(tls_relay.link, ssl_context=client_context()) as session,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(send, session, data)
                sent = -1
                while sent != session.bytes_sent or not sent:
                    sent = session.bytes_sent
                    await trio.sleep(0.5)
                assert sent <= BUFFERED
                received = 0
                while part := await session.receive_some():
                    received += len(part)
                assert received == len(data)
            assert await endpoint.result() == {}


async def test_half_close(tls_relay: RestartedRelay, node: NodeRuntime) -> None:
    """A JavaScript host answers after the end of the stream of a Python guest."""
    with trio.fail_after(TIME_LIMIT):
        async with node.run(task(tls_relay, "host", "count")) as endpoint:
            async with connect(tls_relay.link, ssl_context=client_context()) as session:
                await session.send_all(b"12345")
                await session.send_eof()
                assert await session.receive_some() == b"5"
                assert await session.receive_some() == b""
            assert await endpoint.result() == {}


async def test_silent_relay(tls_relay: RestartedRelay, node: NodeRuntime) -> None:
    """A JavaScript endpoint notices that its relay is silent, and goes on when it is not."""
    with trio.fail_after(TIME_LIMIT):
        # The session is older than the resume timeout when it loses its connection.
        async with node.run(task(tls_relay, "host", "count", resumeTimeout=4)) as endpoint:
            async with connect(tls_relay.link, ssl_context=client_context()) as session:
                await endpoint.wait_for("Connected")
                tls_relay.program.process.send_signal(signal.SIGSTOP)
                lost = await endpoint.wait_for("Lost")
                tls_relay.program.process.send_signal(signal.SIGCONT)
                await session.send_all(b"123")
                await session.send_eof()
                assert await session.receive_some() == b"3"
            assert await endpoint.result() == {}
    assert lost["reason"] == "the peer is silent"
