"""Sockets that the relay accepts without waiting."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import trio
import trio.testing

from relay.daemon.tls import CertificateFiles, ReloadingTLSListener
from relay.daemon.unix_listener import open_unix
from relay.transport.backlog import open_backlog
from relay.transport.wrap import wrap_stream
from tests.support.tls_peers import server_context


async def test_options_of_an_accepted_socket() -> None:
    """An accepted socket does not block, and has the options of a trio.SocketStream."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, await trio.testing.open_stream_to_socket_listener(listener) as client:
        with open_backlog(listener) as backlog:
            assert backlog is not None
            await trio.lowlevel.wait_readable(backlog.fileno())
            sock = backlog.accept().socket
        with sock:
            for option in (socket.TCP_NODELAY, socket.TCP_NOTSENT_LOWAT):
                expected = client.socket.getsockopt(socket.IPPROTO_TCP, option)
                assert sock.getsockopt(socket.IPPROTO_TCP, option) == expected > 0
            with pytest.raises(BlockingIOError):
                sock.recv(1)


async def test_close_wakes_a_blocked_write(nursery: trio.Nursery) -> None:
    """A write that waits for an accepted socket ends when another task closes the transport."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, await trio.testing.open_stream_to_socket_listener(listener):
        with open_backlog(listener) as backlog:
            assert backlog is not None
            await trio.lowlevel.wait_readable(backlog.fileno())
            transport = wrap_stream(backlog.accept(), nursery)
        ended = trio.Event()

        async def write() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await transport.send_all(bytes(2**24))
            ended.set()

        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        await transport.aclose()
        with trio.fail_after(5):
            await ended.wait()


async def test_listeners_with_a_backlog(tmp_path: Path) -> None:
    """A TLS listener and a Unix listener have a backlog; a TLS listener of trio has none."""
    files = cast("CertificateFiles", SimpleNamespace(context=server_context()))
    (tcp,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    unix = open_unix(str(tmp_path / "socket"), 0o600)
    with open_backlog(trio.SSLListener(tcp, server_context())) as backlog:
        assert backlog is None
    async with tcp, unix:
        for listener in (tcp, unix):
            secured = ReloadingTLSListener(listener, files)
            for each, context in ((listener, None), (secured, files.context)):
                with open_backlog(each) as backlog, socket.socket(listener.socket.family) as client:
                    assert backlog is not None
                    client.connect(listener.socket.getsockname())
                    await trio.lowlevel.wait_readable(backlog.fileno())
                    accepted = backlog.accept()
                    assert accepted.context is context
                    await accepted.aclose()
