"""The listeners of a relay, and their addresses in log lines."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from relay.daemon import listeners as listeners_module
from relay.daemon.errors import StartError
from relay.daemon.listeners import (
    PORT_ATTEMPTS,
    Plain,
    display_url,
    open_listeners,
    open_tcp,
    serves_ipv6,
)
from relay.daemon.settings import DaemonSettings
from relay.daemon.socket_activation import inherited_listeners
from relay.daemon.unix_listener import open_unix
from tests.support.network_namespaces import Namespaces, inside, namespaces, run  # noqa: F401 - a fixture


async def close(listeners: list[Any]) -> None:
    """Close listeners."""
    for listener in listeners:
        await listener.aclose()


async def expect_service(listener: Plain) -> None:
    """Connect to a listener, and receive a byte."""
    client = trio.socket.socket(listener.socket.family)
    await client.connect(listener.socket.getsockname())
    async with trio.SocketStream(client) as stream, await listener.accept() as accepted:
        await accepted.send_all(b"!")
        assert await stream.receive_some(10) == b"!"


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_host_and_port(host: str, shown: str) -> None:
    """By default the relay listens on host and port."""
    listeners, inherited = await open_listeners(DaemonSettings(host=host, port=0), {})
    assert not inherited
    [listener] = listeners
    assert display_url(listener) == f"ws://{shown}:{listener.socket.getsockname()[1]}"
    await expect_service(listener)
    await close(listeners)


async def test_all_interfaces() -> None:
    """All interfaces are IPv4 and IPv6, on one port that is free on both."""
    listeners = await open_tcp("*", 0)
    port = listeners[0].socket.getsockname()[1]
    shown = {display_url(listener) for listener in listeners}
    assert shown == {f"ws://0.0.0.0:{port}", f"ws://[::]:{port}"}
    for host in ("127.0.0.1", "::1"):
        async with await trio.open_tcp_stream(host, port):
            pass
    await close(listeners)


async def test_all_interfaces_on_a_given_port() -> None:
    """A given port is the port of all interfaces."""
    [first] = await open_tcp("127.0.0.1", 0)
    port = first.socket.getsockname()[1]
    await first.aclose()
    listeners = await open_tcp("*", port)
    assert {listener.socket.getsockname()[1] for listener in listeners} == {port}
    await close(listeners)


@pytest.mark.parametrize("refusals", [3, PORT_ATTEMPTS])
async def test_port_in_use_at_one_address(monkeypatch: pytest.MonkeyPatch, refusals: int) -> None:
    """A port that is in use at one address is released; without a common port, the ports differ."""
    opened: list[trio.SocketListener] = []
    refused: list[int] = []
    really_open = trio.open_tcp_listeners

    async def open_some(port: int, *, host: str) -> list[trio.SocketListener]:
        if port and host == "::" and len(refused) < refusals:
            refused.append(port)
            raise OSError(errno.EADDRINUSE, "in use")
        listeners = await really_open(port, host=host)
        opened.extend(listeners)
        return listeners

    monkeypatch.setattr(trio, "open_tcp_listeners", open_some)
    listeners = await open_tcp("*", 0)
    ports = {listener.socket.getsockname()[1] for listener in listeners}
    assert len(ports) == (1 if refusals < PORT_ATTEMPTS else 2)
    assert {listener for listener in opened if listener.socket.fileno() >= 0} == {*listeners}
    await close(listeners)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("no.such.host.invalid", "Name or service not known"),
        ("", "Name or service not known"),
        ("a" * 70, "this is not a valid host name"),
        ("192.0.2.1", "Cannot assign requested address"),
    ],
)
async def test_wrong_host(host: str, reason: str) -> None:
    """A host that does not resolve, or is another machine, is refused in one line."""
    with pytest.raises(StartError) as caught:
        await open_tcp(host, 80, given=f"--host {host!r}")
    assert str(caught.value) == f"cannot listen on --host {host!r}: {reason}"


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Make a name resolve to these addresses."""
    really_resolve = trio.socket.getaddrinfo

    async def getaddrinfo(host: str, *arguments: Any, **options: Any) -> list[Any]:
        if host == "localhost":
            return [(0, 0, 0, "", (address, 0)) for address in addresses]
        return await really_resolve(host, *arguments, **options)

    monkeypatch.setattr(trio.socket, "getaddrinfo", getaddrinfo)


def without_ipv6(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """Let this machine have no IPv6 address, with an error number."""
    really_open = trio.open_tcp_listeners

    async def open_some(port: int, *, host: str) -> list[trio.SocketListener]:
        if ":" in host:
            raise OSError(error, os.strerror(error))
        return await really_open(port, host=host)

    monkeypatch.setattr(trio, "open_tcp_listeners", open_some)


@pytest.mark.parametrize("error", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
@pytest.mark.parametrize("addresses", [("::1", "127.0.0.1"), ("127.0.0.1", "::1", "127.0.0.1")])
async def test_absent_address(
    monkeypatch: pytest.MonkeyPatch, error: int, addresses: tuple[str, ...]
) -> None:
    """An address that the machine does not have is skipped, and no address is opened twice."""
    resolving(monkeypatch, *addresses)
    without_ipv6(monkeypatch, error)
    [listener] = await open_tcp("localhost", 0)
    assert listener.socket.getsockname()[0] == "127.0.0.1"
    await listener.aclose()


@pytest.mark.parametrize("error", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
async def test_absent_addresses_only(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """If the machine has no address of a name, the error names the first address."""
    resolving(monkeypatch, "::1", "::2")
    without_ipv6(monkeypatch, error)
    with pytest.raises(StartError) as caught:
        await open_tcp("localhost", 80, given="--metrics localhost:80")
    why = os.strerror(error)
    assert str(caught.value) == f"cannot listen on --metrics localhost:80: {why} (::1)"


async def test_other_error_at_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other error is raised with its address, and no listener stays open."""
    resolving(monkeypatch, "127.0.0.2", "127.0.0.1")
    [first] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = first.socket.getsockname()[1]
    with pytest.raises(StartError, match=r": Address already in use \(127\.0\.0\.1\)$"):
        await open_tcp("localhost", port)
    await first.aclose()
    with pytest.raises(OSError, match="all attempts"):
        await trio.open_tcp_stream("127.0.0.2", port)


async def test_port_in_use() -> None:
    """A port that another program uses is refused in one line, with the names of both settings."""
    given = {"host": "ARC_RELAY_HOST"}
    [first] = await open_tcp("127.0.0.1", 0)
    port = first.socket.getsockname()[1]
    with pytest.raises(StartError) as caught:
        await open_listeners(DaemonSettings(host="127.0.0.1", port=port, given=given))
    expected = f"cannot listen on ARC_RELAY_HOST '127.0.0.1' --port {port}: Address already in use"
    assert str(caught.value) == expected
    await first.aclose()


async def test_unix_instead_of_host_and_port(tmp_path: Path) -> None:
    """With a Unix socket, no port is opened by default."""
    path = tmp_path / "relay.sock"
    listeners, _ = await open_listeners(
        DaemonSettings(unix_socket=str(path), unix_socket_mode="0600"), {}
    )
    [listener] = listeners
    assert display_url(listener) == f"unix:{path}"
    assert path.stat().st_mode & 0o777 == 0o600
    await expect_service(listener)
    await close(listeners)
    assert not path.exists()


async def test_unix_and_port(tmp_path: Path) -> None:
    """A given port is opened beside the Unix socket."""
    path = tmp_path / "relay.sock"
    settings = DaemonSettings(
        host="127.0.0.1", port=0, unix_socket=str(path), given={"port": "--port"}
    )
    listeners, _ = await open_listeners(settings, {})
    assert [display_url(listener).partition(":")[0] for listener in listeners] == ["unix", "ws"]
    await close(listeners)
    with pytest.raises(StartError, match=r"^cannot listen on --host "):
        await open_listeners(replace(settings, host="no.such.host.invalid"), {})
    assert not path.exists()


def activated(monkeypatch: pytest.MonkeyPatch, sock: socket.socket) -> dict[str, str]:
    """Pass a copy of a socket like a service manager; return the variables."""
    copy = sock.dup()
    monkeypatch.setattr(
        listeners_module, "inherited_listeners", partial(inherited_listeners, first=copy.detach())
    )
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}


async def test_supervisor_and_unix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The inherited sockets are first; a Unix socket is opened as well."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        settings = DaemonSettings(unix_socket=str(tmp_path / "relay.sock"))
        listeners, inherited = await open_listeners(settings, activated(monkeypatch, sock))
        assert inherited
        assert [display_url(listener) for listener in listeners] == [
            f"ws://127.0.0.1:{sock.getsockname()[1]}",
            f"unix:{tmp_path}/relay.sock",
        ]
        for listener in listeners:
            await expect_service(listener)
    await close(listeners)


async def test_no_unix_beside_the_supervisors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """If the Unix socket cannot be opened, the inherited sockets are closed."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        environment = activated(monkeypatch, sock)
        with pytest.raises(StartError, match=r"^cannot listen on --unix-socket "):
            await open_listeners(DaemonSettings(unix_socket=str(tmp_path)), environment)
        port = sock.getsockname()[1]
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream("127.0.0.1", port)


async def test_path_that_is_no_text(tmp_path: Path) -> None:
    """A path that is not UTF-8 is displayed with escapes."""
    async with open_unix(f"{tmp_path}/\udcff", 0o660) as listener:
        assert display_url(listener) == f"unix:{tmp_path}/\\xff"


async def test_control_characters_in_a_path(tmp_path: Path) -> None:
    """Control characters in a path are escaped."""
    async with open_unix(f"{tmp_path}/\x1b[31m\n", 0o660) as listener:
        assert display_url(listener) == rf"unix:{tmp_path}/\x1b[31m\n"


@pytest.mark.parametrize("host", ["fe80::1%lo", "[fe80::1%lo]"])
async def test_scope(namespaces: Namespaces, host: str) -> None:  # noqa: F811 - the fixture
    """A link-local address is opened in its scope, and displayed with it."""
    run("ip", "-n", namespaces.near, "address", "add", "fe80::1/64", "dev", "lo", "nodad")
    settings = DaemonSettings(host=host, port=0)
    with inside(namespaces.near):
        listeners, _ = await open_listeners(settings, {})
    name = listeners[0].socket.getsockname()
    assert name[3] != 0
    assert display_url(listeners[0]) == f"ws://[fe80::1%{name[3]}]:{name[1]}"
    await close(listeners)


async def test_below_tls(tmp_path: Path) -> None:
    """The address of a TLS listener shows TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    [tcp] = await open_tcp("127.0.0.1", 0)
    async with tcp, open_unix(str(tmp_path / "relay.sock"), 0o660) as unix:
        shown = [display_url(trio.SSLListener(listener, context)) for listener in (tcp, unix)]
        port = tcp.socket.getsockname()[1]
    assert shown == [f"wss://127.0.0.1:{port}", f"unix:{tmp_path}/relay.sock (TLS)"]


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [((), None), (("127.0.0.1",), False), (("::1",), True), (("127.0.0.1", "::1"), True)],
)
async def test_ipv6_is_served(hosts: Sequence[str], expected: bool | None, tmp_path: Path) -> None:
    """IPv6 is served if a listener has an IPv6 address, and a Unix socket does not count."""
    path = str(tmp_path / "relay.sock")
    opened = [await open_tcp(host, 0) for host in hosts]
    listeners: list[Plain] = [open_unix(path, 0o600)]
    listeners += [each for some in opened for each in some]
    assert serves_ipv6(listeners) is expected
    for listener in listeners:
        await listener.aclose()
