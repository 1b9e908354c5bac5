"""`arc-relay health`: its line of output and its exit status."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme
import typer
from typer.testing import CliRunner

from relay import RelayHandle, serve_relay
from relay.cli.health import Health, check_health, health
from relay.cli.http_client import local_target, parse_target
from relay.cli.options import WrongUsage
from relay.client.dial import ConnectTarget, client_context
from relay.daemon.settings import DaemonSettings
from tests.support.ports import reserved_port
from tests.support.relay_fixtures import TcpRelay

AUTHORITY = trustme.CA()


async def serve(nursery: trio.Nursery, *pieces: bytes | float) -> ConnectTarget:
    """Start a server that sends these pieces to each client, and sleeps for the numbers."""

    async def answer(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.receive_some()
            for piece in pieces:
                if isinstance(piece, float):
                    await trio.sleep(piece)
                else:
                    await stream.send_all(piece)
            await stream.send_eof()
            while await stream.receive_some():
                pass

    listeners = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
    return ConnectTarget(("127.0.0.1",), listeners[0].socket.getsockname()[1])


def http(status: int, body: bytes) -> bytes:
    """Return a response."""
    return b"HTTP/1.1 %d Some Words\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


async def test_healthy(tcp_relay: TcpRelay) -> None:
    """A healthy relay reports the number of codes in use."""
    target = local_target(DaemonSettings(host="0.0.0.0", port=tcp_relay.handle.port))  # noqa: S104
    assert str(await check_health(target)) == "healthy: 0 pairs"
    await tcp_relay.join("one")
    assert str(await check_health(target)) == "healthy: 1 pair"
    await tcp_relay.pair("two")
    assert await check_health(target) == Health(True, "2 pairs", 2)


@pytest.mark.parametrize("addresses", [("::1", "127.0.0.1"), ("127.0.0.1", "::1")])
async def test_two_addresses(tcp_relay: TcpRelay, addresses: tuple[str, str]) -> None:
    """The first address that accepts the connection is used."""
    target = ConnectTarget(addresses, tcp_relay.handle.port)
    assert (await check_health(target)).healthy


async def test_tls(nursery: trio.Nursery) -> None:
    """Over TLS, a verified name must match, and an unverified name need not."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("relay.example").configure_cert(context)
    tcp = await trio.open_tcp_listeners(0, host="127.0.0.1")
    listeners = [trio.SSLListener(listener, context, https_compatible=True) for listener in tcp]
    handle: RelayHandle = await nursery.start(partial(serve_relay, listeners=listeners))
    assert (
        await check_health(
            local_target(DaemonSettings(port=handle.port, tls_cert="c", tls_key="k"))
        )
    ).healthy
    assert (await check_health(parse_target(f"wss://localhost:{handle.port}"))).healthy
    wrong = ConnectTarget(("127.0.0.1",), handle.port, tls=client_context())
    found = await check_health(wrong)
    assert found.text.startswith(f"no TLS with 127.0.0.1:{handle.port}: ")
    assert "certificate" in found.text
    await handle.stop()


async def test_unix(nursery: trio.Nursery, tmp_path: Path) -> None:
    """The Unix socket of a relay is used, and its host and port are not."""
    path = tmp_path / "relay.sock"
    unix = trio.socket.socket(socket.AF_UNIX)
    await unix.bind(str(path))
    unix.listen()
    listener = trio.SocketListener(unix)
    handle: RelayHandle = await nursery.start(partial(serve_relay, listeners=[listener]))
    assert (
        await check_health(
            local_target(DaemonSettings(host="192.0.2.1", port=1, unix_socket=str(path)))
        )
    ).healthy
    assert (await check_health(parse_target(f"unix:{path}"))).healthy
    await handle.stop()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (http(503, b'{"ok":false,"draining":true,"pairs":3}'), "draining"),
        (http(503, b'{"ok":false,"pairs":3}'), "HTTP 503 at {}"),
        (http(200, b'{"ok":true}'), "HTTP 200 at {}"),
        (http(404, b"not found"), "HTTP 404, and not from an arc-relay, at {}"),
        (http(200, b"[" * 60_000), "HTTP 200, and not from an arc-relay, at {}"),
        (http(200, b"[]"), "HTTP 200, and not from an arc-relay, at {}"),
        (b"SSH-2.0-OpenSSH\r\n", "no HTTP answer from {}"),
        (http(200, b"short")[:-1], "HTTP 200, and not from an arc-relay, at {}"),
        (b"", "no HTTP answer from {}"),
        (
            b"HTTP/1.1 100 Continue\r\n\r\n" + http(404, b""),
            "HTTP 404, and not from an arc-relay, at {}",
        ),
        (http(200, bytes(100_000)), "HTTP 200, and not from an arc-relay, at {}"),
    ],
)
async def test_unhealthy(nursery: trio.Nursery, answer: bytes, text: str) -> None:
    """Any response but that of a healthy relay is described in one line."""
    target = await serve(nursery, answer)
    assert await check_health(target) == Health(False, text.format(target))
    assert str(await check_health(target)) == f"unhealthy: {text.format(target)}"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("piece", [b"", b"H"])
async def test_timeout(nursery: trio.Nursery, piece: bytes) -> None:
    """Neither silence nor a slow response exceeds the timeout."""
    target = await serve(nursery, *(piece, 0.02) * 500)
    found = await check_health(target, 0.1)
    assert found == Health(False, f"no answer within 0.1 s from {target}")
    assert (await check_health(target, 0)).text == f"no answer within 0 s from {target}"
    nursery.cancel_scope.cancel()


async def test_endless_body(nursery: trio.Nursery) -> None:
    """A body without an end is read only to its maximum size."""
    target = await serve(nursery, b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100_000), 60.0)
    found = await check_health(target, 30)
    assert found.text == f"HTTP 200, and not from an arc-relay, at {target}"
    nursery.cancel_scope.cancel()


async def test_no_tls(nursery: trio.Nursery) -> None:
    """A server without TLS, and a connection closed in the handshake, are named."""
    for answer, text in ((b"HTTP/1.1 400 No\r\n\r\n", "wrong version"), (b"", "unexpected eof")):
        plain = await serve(nursery, answer)
        found = await check_health(
            local_target(
                DaemonSettings(host="127.0.0.1", port=plain.port, tls_cert="c", tls_key="k")
            )
        )
        assert found.text.startswith(f"no TLS with {plain}: ")
        assert text in found.text or "record layer" in found.text
    nursery.cancel_scope.cancel()


async def test_reset(nursery: trio.Nursery) -> None:
    """A connection that the server resets is unhealthy, with or without TLS."""

    async def reset(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    listeners = await nursery.start(partial(trio.serve_tcp, reset, 0, host="127.0.0.1"))
    port = listeners[0].socket.getsockname()[1]
    for context in (None, client_context(verify=False)):
        target = ConnectTarget(("127.0.0.1",), port, tls=context)
        assert (await check_health(target)).text == f"connection reset by peer at {target}"
    nursery.cancel_scope.cancel()


async def test_nobody_there(tmp_path: Path) -> None:
    """A missing listener is reported in the words of the system."""
    with reserved_port() as port:
        target = ConnectTarget(("127.0.0.1",), port)
        assert (await check_health(target)).text == f"connection refused at {target}"
    target = ConnectTarget(unix=str(tmp_path / "relay.sock"))
    assert (await check_health(target)).text == f"no such file or directory at {target}"
    target = ConnectTarget(unix="x" * 200)
    assert (await check_health(target)).text.startswith("AF_UNIX path too long at unix:")
    target = ConnectTarget(("no-such-host.invalid",), 1)
    text = (await check_health(target)).text
    assert text.endswith(f" at {target}")
    assert text.islower()
    assert "unknown error" not in text
    target = ConnectTarget(("x" * 70,), 1)
    assert (await check_health(target)).text.endswith(f"at {target}")


def invoke(*arguments: str, port: int = 0) -> tuple[int, str]:
    """Run the command with a port in its environment; return its status and its output."""
    app = typer.Typer(rich_markup_mode=None)
    app.command()(health)
    variables = {"ARC_RELAY_HOST": "127.0.0.1", "ARC_RELAY_PORT": str(port)}
    done = CliRunner().invoke(app, arguments, env=variables)
    return done.exit_code, done.output


async def test_command(tcp_relay: TcpRelay) -> None:
    """The environment names the relay if no URL is given; the exit status has the result."""
    port = tcp_relay.handle.port

    async def run(*arguments: str, port: int) -> tuple[int, str]:
        return await trio.to_thread.run_sync(partial(invoke, *arguments, port=port))

    assert await run(port=port) == (0, "healthy: 0 pairs\n")
    with reserved_port() as unused:
        assert await run(f"ws://127.0.0.1:{port}", port=unused) == (0, "healthy: 0 pairs\n")
        assert (await run(port=unused))[0] == 1


def test_bad_url() -> None:
    """An invalid URL is wrong usage."""
    with pytest.raises(WrongUsage, match="URL must begin with wss://"):
        health("relay.example")
