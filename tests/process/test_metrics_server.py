"""Metrics listener of a running relay, as Prometheus reads it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.daemon.metrics_server import serve_metrics
from tests.support.certificates import Certificate
from tests.support.process import LOOPBACK, run_to_end
from tests.support.raw_client import Client, Response, encode_close
from tests.support.relay_fixtures import MemoryListener, ProcessRelay

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@pytest.fixture
def options() -> Sequence[str]:
    """Return the options of a relay with metrics."""
    return ["--metrics", "127.0.0.1:0"]


class Scraper:
    """Client that requests the metrics of a relay."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def connect(self) -> Client:
        """Return a client that has sent no request yet."""
        return Client(await trio.open_tcp_stream("127.0.0.1", self.port))

    async def request(self, target: str, method: str = "GET") -> Response:
        """Return the response to a request."""
        async with await self.connect() as client:
            return await client.get(target, method)

    async def figures(self) -> dict[str, float]:
        """Return the value of each series."""
        text = (await self.request("/metrics")).body.decode()
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in lines}


@pytest.fixture
async def scraper(process_relay: ProcessRelay) -> Scraper:
    """Return a function that scrapes a relay that runs as a process."""
    return Scraper(await process_relay.program.metrics_port())


async def test_answers(scraper: Scraper) -> None:
    """It serves the text format, and refuses other requests; HEAD gets no body."""
    for target in ("/metrics", "/metrics?name[]=x", "/"):
        response = await scraper.request(target)
        assert (response.status, response.headers["content-type"]) == (200, CONTENT_TYPE)
        assert b"\narc_relay_pairs 0.0\n" in response.body
    missing = await scraper.request("/health")
    assert (missing.status, missing.body) == (404, b"not found: the metrics are at /metrics")
    wrong = await scraper.request("/metrics", "POST")
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET, HEAD")
    for target, status in (("/metrics", 200), ("/health", 404)):
        bodiless = await scraper.request(target, "HEAD")
        assert (bodiless.status, bodiless.body) == (status, b"")
        assert int(bodiless.headers["content-length"]) > 0
    async with await scraper.connect() as client:
        await client.send(b"\x16\x03\x01\x00\n\r\n\r\n")
        assert (await client.response()).status == 400


async def test_figures_move(process_relay: ProcessRelay, scraper: Scraper) -> None:
    """The next scrape has the events of the relay, but not the scrape itself."""
    before = await scraper.figures()
    a, b = await process_relay.pair()
    await a.send_message(b"1234")
    assert await b.message() == b"1234"
    async with await process_relay.connect() as client:
        assert (await client.get("/nowhere")).status == 404
    during = await scraper.figures()
    assert during["arc_relay_pairs"] == 1
    assert during["arc_relay_connections"] >= 2
    await a.send(encode_close(1000))
    assert await b.closed() == (1000, "peer disconnected")
    await a.rest()
    after = await scraper.figures()
    assert {name for name in after if after[name] != before.get(name, 0)} >= {
        'arc_relay_messages_total{side="a"}',
        'arc_relay_pairs_ended_total{outcome="closed"}',
        "arc_relay_pair_bytes_sum",
        "arc_relay_pair_duration_seconds_count",
        "arc_relay_time_to_pair_seconds_count",
    }
    refused = (
        'arc_relay_requests_refused_total{reason="not found: this is a WebSocket relay, its health'
    )
    assert [after[name] for name in after if name.startswith(refused)] == [1]
    assert after["arc_relay_pairs"] == 0
    assert (
        after["arc_relay_connections_accepted_total"]
        == before["arc_relay_connections_accepted_total"] + 3
    )


async def test_promtool(process_relay: ProcessRelay, scraper: Scraper) -> None:
    """The scrape of a relay with traffic passes promtool."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here: install Debian's package prometheus")
    a, b = await process_relay.pair()
    await a.send_message(b"1234")
    await b.message()
    await a.reset()
    await b.closed()
    async with await process_relay.connect() as client:
        await client.get("/nowhere")
    scraped = (await scraper.request("/metrics")).body
    done = await trio.run_process(
        [promtool, "check", "metrics"], stdin=scraped, capture_stdout=True, stderr=subprocess.STDOUT
    )
    assert done.stdout == b""


async def test_hanging_clients(process_relay: ProcessRelay, scraper: Scraper) -> None:
    """A client that hangs, and leaves, delays neither other scrapes, nor the relay, nor its end."""
    hanging = [await scraper.connect() for _ in range(20)]
    for client in hanging[:10]:
        await client.send(b"GET /metrics HTTP/1.1\r\nHost:")
    for client in hanging[10:]:
        await client.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    await hanging[-1].reset()
    assert (await scraper.figures())["arc_relay_connections"] == 0
    a, b = await process_relay.pair()
    await a.send_message(b"1234")
    assert await b.message() == b"1234"
    await process_relay.hang_up()
    process_relay.process.terminate()
    assert await process_relay.program.wait() == 0
    for client in hanging:
        await trio.aclose_forcefully(client.stream)


class TestProcess:
    """A relay with a certificate and limits."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> Certificate:
        """Return a certificate."""
        return Certificate(tmp_path)

    @pytest.fixture
    def options(self, files: Certificate) -> Sequence[str]:
        """Return the options of the relay."""
        limits = ("--max-connections", "40", "--max-pair-seconds", "90")
        return ["--metrics", "127.0.0.1:0", *files.options, *limits]

    async def test_metrics(
        self, process_relay: ProcessRelay, scraper: Scraper, files: Certificate
    ) -> None:
        """A scrape has the limits, the certificate in force, and a failed reload."""
        first = await scraper.figures()
        assert {name for name in first if name.startswith("arc_relay_max_")} == {
            "arc_relay_max_connections",
            "arc_relay_max_pair_seconds",
        }
        assert (first["arc_relay_max_connections"], first["arc_relay_max_pair_seconds"]) == (40, 90)
        assert first["arc_relay_certificate_expiry_timestamp_seconds"] > 0
        assert first["arc_relay_log_lines_lost_total"] == 0

        files.renew(expiry=datetime(2031, 2, 3, tzinfo=UTC))
        process_relay.process.send_signal(signal.SIGHUP)
        await process_relay.program.line("event=reloaded")
        files.cert.write_bytes(b"")
        process_relay.process.send_signal(signal.SIGHUP)
        await process_relay.program.line("not reloaded")
        second = await scraper.figures()
        expiry = datetime.fromtimestamp(
            second["arc_relay_certificate_expiry_timestamp_seconds"], UTC
        )
        assert expiry == datetime(2031, 2, 3, tzinfo=UTC)
        assert second['arc_relay_reloads_failed_total{file="certificate"}'] == 1
        assert second['arc_relay_last_reload_successful{file="certificate"}'] == 0
        assert second['arc_relay_last_reload_successful{file="token"}'] == 1


async def test_port_in_use() -> None:
    """A port in use is reported in one line, with its option, and status 1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        status, out, err = await run_to_end("start", *LOOPBACK, "--metrics", place)
    assert (status, out) == (1, "")
    assert err == f"arc-relay: cannot listen on --metrics {place}: Address already in use\n"


class TestInMemory:
    """Failures that no client can cause."""

    @pytest.fixture
    async def listener(self, nursery: trio.Nursery) -> MemoryListener:
        """Return a listener whose metrics cannot be rendered."""

        def render() -> bytes:
            raise RuntimeError("a secret")

        listener = MemoryListener()
        nursery.start_soon(serve_metrics, [listener], render, lambda code: code[::-1])
        return listener

    async def test_failure(
        self, listener: MemoryListener, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A failure ends only its scrape, and its message is not logged."""
        for _ in range(2):
            async with Client(await listener.connect(trio.testing.memory_stream_pair)) as client:
                await client.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                assert await client.rest() == b""
        assert (
            re.findall("a scrape failed: .*", caplog.text) == ["a scrape failed: RuntimeError"] * 2
        )
        assert "secret" not in caplog.text

    async def test_nothing_asked(
        self, listener: MemoryListener, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A client that disconnects without a request is no failure."""
        async with Client(await listener.connect(trio.testing.memory_stream_pair)):
            pass
        await trio.testing.wait_all_tasks_blocked()
        assert not caplog.text

    @pytest.mark.parametrize(
        ("body", "pair"),
        [
            (b"abc", "cba"),
            (b"abc\n", "cba"),
            (b"a c\r\n", "c a"),
            ("€".encode(), "€"),
            (b"x" * 256, "x" * 256),
        ],
    )
    async def test_hash(self, listener: MemoryListener, body: bytes, pair: str) -> None:
        """The response has the hash of the code in the body, which may arrive in pieces."""
        async with Client(await listener.connect(trio.testing.memory_stream_pair)) as client:
            head = b"POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
            await client.send(head + body[:1])
            await client.send(body[1:] + b"more")
            response = await client.response()
        assert response.status == 200
        assert json.loads(response.body) == {"pair": pair}
        assert response.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            (b"GET /hash", 405),
            (b"POST /hash", 400),
            (b"POST /hash\nContent-Length: 0", 400),
            (b"POST /hash\nContent-Length: 1\n\n\n", 400),
            (b"POST /hash\nContent-Length: 1\n\n\xff", 400),
            (b"POST /hash\nContent-Length: 257\n\n" + b"x" * 257, 400),
            (b"POST /hash\nContent-Length: 99999\n\nx", 400),
            (b"POST /hash\nTransfer-Encoding: chunked\n\n1\nx\n0\n\n", 400),
        ],
    )
    async def test_no_hash(
        self,
        listener: MemoryListener,
        request_: bytes,
        status: int,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A request without a valid code gets no hash, and nothing of it is logged."""
        line, _, rest = request_.partition(b"\n")
        async with Client(await listener.connect(trio.testing.memory_stream_pair)) as client:
            await client.send(line + b" HTTP/1.1\nHost: x\n" + rest + b"\n\n")
            assert (await client.response()).status == status
        assert not caplog.text

    async def test_head_of_hash(self, listener: MemoryListener) -> None:
        """The response to a HEAD request has no body."""
        async with Client(await listener.connect(trio.testing.memory_stream_pair)) as client:
            await client.send(b"HEAD /hash HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await client.rest()).endswith(b"\r\n\r\n")

    async def test_body_is_cut_off(self, listener: MemoryListener) -> None:
        """A part of a code gets no hash."""
        client = await listener.connect(trio.testing.memory_stream_pair)
        assert isinstance(client, trio.StapledStream)
        await client.send_all(b"POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        await client.send_eof()
        assert b" 400 " in await client.receive_some()

    async def test_reset_in_the_body(
        self, listener: MemoryListener, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A client that resets the connection before the end of the body is not logged."""
        client, server = trio.testing.memory_stream_pair()
        reads = 0

        async def fail_after_the_head() -> None:
            nonlocal reads
            reads += 1
            await trio.lowlevel.checkpoint()
            if reads > 1:
                raise trio.BrokenResourceError

        server.receive_stream.receive_some_hook = fail_after_the_head
        await listener.connect(lambda: (client, server))
        await client.send_all(b"POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        await trio.testing.wait_all_tasks_blocked()
        assert reads == 2
        assert not caplog.text

    async def test_body_does_not_arrive(
        self, listener: MemoryListener, autojump_clock: trio.testing.MockClock
    ) -> None:
        """A client that sends only a part of its code is disconnected."""
        async with Client(await listener.connect(trio.testing.memory_stream_pair)) as client:
            await client.send(b"POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
            assert await client.rest() == b""
        assert trio.current_time() > 0
