"""`arc-relay health`: the health of a relay in one line and an exit status."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme
import typer
from typer.testing import CliRunner

from relay import RelayHandle, serve_relay
from relay.cli.health import health_command
from relay.cli.health_check import Health, check_health
from relay.cli.url import ConnectTarget, LocalListener, client_context, local_target, parse_target
from tests.support.relay_fixtures import TcpRelay

AUTHORITY = trustme.CA()


async def check(target: ConnectTarget, timeout: float = 5.0) -> Health:  # noqa: ASYNC109 - it is passed on
    """Check a relay from another thread."""
    return await trio.to_thread.run_sync(check_health, target, timeout)


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


def unused_port() -> int:
    """Return a port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_healthy(tcp_relay: TcpRelay) -> None:
    """The line of a healthy relay has the number of codes in use."""
    target = local_target(LocalListener("0.0.0.0", tcp_relay.handle.port))  # noqa: S104
    assert str(await check(target)) == "healthy: 0 pairs"
    await tcp_relay.join("one")
    assert str(await check(target)) == "healthy: 1 pair"
    await tcp_relay.pair("two")
    assert await check(target) == Health(True, "2 pairs", 2)


async def test_name_with_two_addresses(tcp_relay: TcpRelay) -> None:
    """If an address refuses, the next address is tried."""
    target = ConnectTarget(("::1", "127.0.0.1"), tcp_relay.handle.port)
    assert (await check(target)).healthy


async def test_tls(nursery: trio.Nursery) -> None:
    """Over TLS, a verified name must match, and an unverified name need not."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("relay.example").configure_cert(context)
    tcp = await trio.open_tcp_listeners(0, host="127.0.0.1")
    listeners = [trio.SSLListener(listener, context, https_compatible=True) for listener in tcp]
    handle: RelayHandle = await nursery.start(partial(serve_relay, listeners=listeners))
    assert (await check(local_target(LocalListener("", handle.port, tls=True)))).healthy
    assert (await check(parse_target(f"wss://localhost:{handle.port}"))).healthy
    wrong = ConnectTarget(("127.0.0.1",), handle.port, tls=client_context())
    found = await check(wrong)
    assert found.text.startswith(f"no TLS with 127.0.0.1:{handle.port}: ")
    assert "certificate" in found.text
    await handle.stop()


async def test_unix(nursery: trio.Nursery, tmp_path: Path) -> None:
    """A relay on a unix path is checked there, not on its host and port."""
    path = tmp_path / "relay.sock"
    unix = trio.socket.socket(socket.AF_UNIX)
    await unix.bind(str(path))
    unix.listen()
    listener = trio.SocketListener(unix)
    handle: RelayHandle = await nursery.start(partial(serve_relay, listeners=[listener]))
    assert (await check(local_target(LocalListener("192.0.2.1", 1, unix=str(path))))).healthy
    assert (await check(parse_target(f"unix:{path}"))).healthy
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
    ],
)
async def test_unhealthy(nursery: trio.Nursery, answer: bytes, text: str) -> None:
    """A response that no healthy relay sends is reported in one line."""
    target = await serve(nursery, answer)
    assert await check(target) == Health(False, text.format(target))
    assert str(await check(target)) == f"unhealthy: {text.format(target)}"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("piece", [b"", b"H"])
async def test_timeout(nursery: trio.Nursery, piece: bytes) -> None:
    """Neither silence nor a slow response exceeds the timeout."""
    target = await serve(nursery, *(piece, 0.02) * 500)
    found = await check(target, 0.1)
    assert found == Health(False, f"no answer within 0.1 s from {target}")
    assert (await check(target, 0)).text == f"no answer within 0 s from {target}"
    nursery.cancel_scope.cancel()


async def test_no_tls(nursery: trio.Nursery) -> None:
    """A server without TLS, or one that disconnects, is reported as such."""
    for answer, text in ((b"HTTP/1.1 400 No\r\n\r\n", "wrong version"), (b"", "unexpected eof")):
        plain = await serve(nursery, answer)
        found = await check(local_target(LocalListener("127.0.0.1", plain.port, tls=True)))
        assert found.text.startswith(f"no TLS with {plain}: ")
        assert text in found.text or "record layer" in found.text
    nursery.cancel_scope.cancel()


def test_no_listener(tmp_path: Path) -> None:
    """A missing listener is reported in the words of the kernel."""
    target = ConnectTarget(("127.0.0.1",), unused_port())
    assert check_health(target).text == f"connection refused at {target}"
    target = ConnectTarget(unix=str(tmp_path / "relay.sock"))
    assert check_health(target).text == f"no such file or directory at {target}"
    target = ConnectTarget(unix="x" * 200)
    assert check_health(target).text.startswith("AF_UNIX path too long at unix:")
    target = ConnectTarget(("x" * 70,), 1)
    assert check_health(target).text.endswith(f"at {target}")


def invoke(listening: Callable[[], LocalListener], *arguments: str) -> tuple[int, str]:
    """Run the command, and return its status and its output."""
    app = typer.Typer(rich_markup_mode=None)
    app.command()(health_command(listening))
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.output


async def test_command(tcp_relay: TcpRelay) -> None:
    """Without a URL the command uses the settings; the status is the result."""
    here = partial(LocalListener, "127.0.0.1", tcp_relay.handle.port)
    nowhere = partial(LocalListener, "127.0.0.1", unused_port())
    run = trio.to_thread.run_sync
    assert await run(invoke, here) == (0, "healthy: 0 pairs\n")
    url = f"ws://127.0.0.1:{tcp_relay.handle.port}"
    assert await run(invoke, nowhere, url) == (0, "healthy: 0 pairs\n")
    assert (await run(invoke, nowhere))[0] == 1


def test_bad_url() -> None:
    """An invalid URL is wrong usage."""
    status, output = invoke(lambda: LocalListener("", 0), "relay.example")
    assert status == 2
    assert "it must be like wss://" in output
