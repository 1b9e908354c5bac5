"""Sockets that the relay accepts without waiting."""

from __future__ import annotations

import socket

import pytest
import trio
import trio.testing

from relay.transport.backlog import open_backlog
from relay.transport.wrap import wrap_stream


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
