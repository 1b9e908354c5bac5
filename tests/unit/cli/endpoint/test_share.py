"""Targets of `share` that fail, processes that do not end, and the end of `share -`."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from relay.cli.endpoint import share
from relay.cli.endpoint.options import ShareOptions
from relay.cli.endpoint.share import connect_to, serve_target
from relay.cli.endpoint.standard_io import StandardIO
from relay.cli.endpoint.targets import Address
from relay.client import Link, PeerAborted, ResumeTimeout, Session, TargetError
from tests.support.fake_session import FakeSession, as_session

Handler = Callable[[Session], Awaitable[None]]


async def test_no_target(tmp_path: Path) -> None:
    """The error of a target has the cause."""
    with pytest.raises(TargetError, match="no such file"):
        await connect_to(Address(path=str(tmp_path / "none")))
    with pytest.raises(TargetError, match="cannot start the command: No such file"):
        await serve_target(("/none",), as_session(FakeSession()))


async def test_silent_target(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """A target that does not answer is given up."""

    async def wait(host: str, port: int) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(trio, "open_tcp_stream", wait)
    with pytest.raises(TargetError, match="timeout"):
        await connect_to(Address("192.0.2.1", 1))


async def test_target_resets() -> None:
    """A connection that the target resets aborts the session."""

    async def reset(stream: trio.SocketStream) -> None:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()

    async with trio.open_nursery() as nursery:
        listener, *_ = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, reset, [listener])
        address = Address("127.0.0.1", listener.socket.getsockname()[1])
        with pytest.raises(TargetError, match="target failed: Connection reset"):
            await serve_target(address, as_session(FakeSession()))
        nursery.cancel_scope.cancel()


async def test_stubborn_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ignores SIGTERM, and a further one of its group, get SIGKILL."""
    monkeypatch.setattr(share, "KILL_AFTER", 0.3)
    session = FakeSession(ResumeTimeout("lost"))
    session.after_output = True
    script = "trap '' TERM; echo $$; sleep 600 & wait"
    with pytest.raises(ResumeTimeout):
        await serve_target(("sh", "-c", script), as_session(session))


async def test_member_outlives_its_leader() -> None:
    """The session ends when the last process of the group has ended."""
    session = FakeSession()
    session.incoming.put_eof()
    script = "(trap '' TERM; exec sleep 0.3 >&-) & sleep 0.1; echo done"
    await serve_target(("sh", "-c", script), as_session(session))
    assert await session.outgoing.get_data() == b"done\n"


async def test_member_of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process group that may not be signalled is left alone."""

    def refuse(group: int, number: int) -> None:
        raise PermissionError

    session = FakeSession()
    session.incoming.put_eof()
    monkeypatch.setattr(os, "killpg", refuse)
    await serve_target(("echo", "done"), as_session(session))
    assert await session.outgoing.get_data() == b"done\n"


@pytest.mark.parametrize(
    ("is_complete", "reason", "status"), [(True, 2, 0), (False, 2, 1), (True, 1, 1)]
)
async def test_end_of_standard_streams(
    is_complete: bool, reason: int, status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A guest that closes the session after the end of its stream is a clean end of `share -`."""

    async def serve(link: Link, handler: Handler, **_: Any) -> None:
        await handler(as_session(FakeSession()))
        raise PeerAborted(reason, "closed")

    async def copy(session: Session, local: StandardIO) -> None:
        local.is_output_complete = is_complete

    monkeypatch.setattr(share, "copy_both", copy)
    monkeypatch.setattr(share, "serve", serve)
    path = str(tmp_path / "link")
    options = ShareOptions(target=["-"], via="ws://relay.example/", link_file=path, quiet=True)
    assert await share.prepare_share(options)() == status
