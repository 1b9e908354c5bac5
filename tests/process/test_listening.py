"""Listeners by flags: the relay's own TLS, all interfaces, a Unix socket."""

from __future__ import annotations

import socket
import ssl
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from tests.support.certificates import Certificate, client_context
from tests.support.process import run_program, run_to_end
from tests.support.raw_client import Client, Response
from tests.support.relay_fixtures import ProcessRelay


class TestTls:
    """Relay with TLS and a short handshake timeout."""

    @pytest.fixture
    def options(self, tmp_path: Path) -> Sequence[str]:
        """Return the options."""
        return [*Certificate(tmp_path).options, "--handshake-timeout", "0.5"]

    @pytest.fixture
    def client_tls(self) -> ssl.SSLContext:
        """Return the TLS context of the clients."""
        return client_context()

    async def test_bad_handshakes(self, process_relay: ProcessRelay) -> None:
        """Invalid and stalled handshakes are ended; an existing pair does not notice."""
        assert process_relay.program.addresses == [f"wss://127.0.0.1:{process_relay.port}"]
        a, b = await process_relay.pair()
        hello = ssl.MemoryBIO()
        half = client_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            half.do_handshake()
        whole = hello.read()
        async with trio.open_nursery() as nursery:
            for text in (b"", b"\x16", whole[:100], whole, b"GET / HTTP/1.1\r\n\r\n", bytes(5000)):
                nursery.start_soon(self.expect_cut, process_relay.port, text)
            nursery.start_soon(self.expect_timeout, process_relay)
            nursery.start_soon(self.reset, process_relay.port, whole)
        for source, sink in ((a, b), (b, a)):
            await source.send_message(b"still there")
            assert await sink.message() == b"still there"
        assert await process_relay.pairs() == 1

    async def expect_cut(self, port: int, text: bytes) -> None:
        """Send an incomplete handshake, and expect the end, without HTTP."""
        async with Client(await trio.open_tcp_stream("127.0.0.1", port)) as client:
            await client.send(text)
            with suppress(trio.BrokenResourceError):  # the relay left something unread
                assert b"HTTP" not in await client.rest()

    async def expect_timeout(self, relay: ProcessRelay) -> None:
        """Complete the handshake, send nothing, and expect 408."""
        client = await relay.connect()
        await client.send(b"GET /")
        assert (await client.response()).status == 408

    async def reset(self, port: int, text: bytes) -> None:
        """Reset the connection inside the handshake."""
        client = Client(await trio.open_tcp_stream("127.0.0.1", port))
        await client.send(text)
        await client.reset()


async def health(stream: trio.abc.Stream) -> Response:
    """Request the health."""
    async with Client(stream) as client:
        return await client.get("/health")


async def test_all_interfaces(tmp_path: Path, time_limit: None) -> None:
    """``--host '*'`` listens on IPv4 and IPv6."""
    async with run_program("--host", "*", "--port", "0", log=tmp_path / "log") as program:
        port = program.port
        assert sorted(program.addresses) == [f"ws://0.0.0.0:{port}", f"ws://[::]:{port}"]
        for host in ("127.0.0.1", "::1"):
            response = await health(await trio.open_tcp_stream(host, port))
            assert response.body == b'{"ok":true,"pairs":0}'


async def test_unix_socket(tmp_path: Path, time_limit: None) -> None:
    """A stale socket is replaced, with the configured mode; at the end it is removed."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    options = ("--unix-socket", str(path), "--unix-socket-mode", "0600")
    async with run_program(*options, log=tmp_path / "log") as program:
        assert program.addresses == [f"unix:{path}"]
        assert mode_of(path) == 0o600
        a, b = [Client(await trio.open_unix_socket(str(path))) for _ in range(2)]
        async with a, b:
            for client in (a, b):
                assert (await client.upgrade("/?pair=code")).status == 101
            await a.send_message(b"hello")
            assert await b.message() == b"hello"
            status, out, err = await run_to_end("start", *options)
            assert (status, out) == (1, "")
            assert err == (
                f"arc-relay: cannot listen on --unix-socket '{path}': a program listens there;"
                " stop it, or choose another path\n"
            )
        assert (await health(await trio.open_unix_socket(str(path)))).status == 200
    assert not path.exists()


def mode_of(path: Path) -> int:
    """Return the permissions of a socket."""
    found = path.stat().st_mode
    assert stat.S_ISSOCK(found)
    return stat.S_IMODE(found)
