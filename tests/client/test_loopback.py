"""Endpoints over TLS, on real sockets."""

from __future__ import annotations

from pathlib import Path

import trio

from relay.client import Link, Session, connect, serve
from tests.support.certificates import client_context
from tests.support.endpoints import echo, read_all
from tests.support.tls_relays import running_tls


async def test_tls(tmp_path: Path, nursery: trio.Nursery, time_limit: None) -> None:
    """A session passes through a relay with TLS, by its name and its port."""
    data = bytes(range(256)) * 4000
    async with running_tls(tmp_path) as relay:
        link = Link.new(f"wss://localhost:{relay.handle.port}/path?further=parameter")
        context = client_context()

        async def host(*, task_status: trio.TaskStatus[None]) -> None:
            await serve(link, echo, once=True, ssl_context=context, task_status=task_status)

        async def send(session: Session) -> None:
            await session.send_all(data)
            await session.send_eof()

        await nursery.start(host)
        async with connect(link, ssl_context=context) as session:
            nursery.start_soon(send, session)
            assert await read_all(session) == data
