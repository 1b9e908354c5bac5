"""Targets that fail, and commands whose processes do not end."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing

from relay.cli.endpoint import child
from relay.cli.endpoint.addresses import TcpAddress, UnixAddress
from relay.cli.endpoint.copying import InputFailed, copy_both, copy_to_session
from relay.cli.endpoint.handlers import connect_to, handler_for
from relay.cli.endpoint.targets import Command
from relay.client.errors import EndpointError, ResumeTimeout, TargetError
from relay.client.session import Session


class FakeSession:
    """Session whose streams are in memory."""

    def __init__(self, error: EndpointError | None = None) -> None:
        self.error = error
        self.after_output = False
        """True if the session fails once it has got output."""
        self.incoming = trio.testing.MemoryReceiveStream()
        self.outgoing = trio.testing.MemorySendStream()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive from the peer, or fail."""
        if self.error is not None:
            if self.after_output:
                await self.outgoing.get_data()
            raise trio.BrokenResourceError
        return await self.incoming.receive_some(max_bytes)

    async def send_all(self, data: bytes) -> None:
        """Send to the peer."""
        await self.outgoing.send_all(data)

    async def send_eof(self) -> None:
        """End the own stream."""
        self.outgoing.close()


class BrokenStream(trio.abc.HalfCloseableStream):
    """Local stream that fails."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        raise trio.BrokenResourceError from OSError(5, "I/O error")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        raise trio.BrokenResourceError

    async def wait_send_all_might_not_block(self) -> None:
        raise NotImplementedError

    async def send_eof(self) -> None:
        raise trio.BrokenResourceError

    async def aclose(self) -> None:
        raise NotImplementedError


def as_session(fake: FakeSession) -> Session:
    """Return a fake as the type that it stands for."""
    return cast("Session", fake)


async def test_input_fails() -> None:
    """The failure of a local stream is told from that of the session."""
    with pytest.raises(InputFailed) as caught:
        await copy_to_session(BrokenStream(), as_session(FakeSession()))
    assert str(caught.value.__cause__) == "[Errno 5] I/O error"


@pytest.mark.parametrize("data", [b"", b"data"])
async def test_output_fails(data: bytes) -> None:
    """A local program that reads no more does not end the other direction."""
    session = FakeSession()
    session.incoming.put_data(data)
    session.incoming.put_eof()
    left, right = trio.testing.memory_stream_pair()
    local = trio.StapledStream(BrokenStream(), right)
    await left.send_all(b"still sent")
    await left.send_eof()
    await copy_both(as_session(session), local)
    assert await session.outgoing.get_data() == b"still sent"


async def test_session_fails() -> None:
    """The error of a session is raised, and not its consequence."""
    session = FakeSession(ResumeTimeout("lost"))
    with pytest.raises(ResumeTimeout):
        await copy_both(as_session(session), trio.testing.memory_stream_pair()[0])


async def test_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure without an error of the session is not hidden."""
    session = FakeSession()
    monkeypatch.setattr(session, "receive_some", BrokenStream().receive_some)
    with pytest.raises(ExceptionGroup):
        await copy_both(as_session(session), trio.testing.memory_stream_pair()[0])


async def test_no_target(tmp_path: Path) -> None:
    """The error of a target has the cause."""
    with pytest.raises(TargetError, match="no such file"):
        await connect_to(UnixAddress(str(tmp_path / "none")))
    with pytest.raises(TargetError, match="cannot start the command: No such file"):
        await handler_for(Command(("/none",)))(as_session(FakeSession()))


async def test_silent_target(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """A target that does not answer is given up."""

    async def wait(host: str, port: int) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(trio, "open_tcp_stream", wait)
    with pytest.raises(TargetError, match="timeout"):
        await connect_to(TcpAddress("192.0.2.1", 1))


async def test_target_resets() -> None:
    """A connection that the target resets aborts the session."""

    async def reset(stream: trio.SocketStream) -> None:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()

    async with trio.open_nursery() as nursery:
        listener, *_ = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, reset, [listener])
        address = TcpAddress("127.0.0.1", listener.socket.getsockname()[1])
        with pytest.raises(TargetError, match="target failed: Connection reset"):
            await handler_for(address)(as_session(FakeSession()))
        nursery.cancel_scope.cancel()


async def test_stubborn_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ignores SIGTERM, and a further one of its group, get SIGKILL."""
    monkeypatch.setattr(child, "KILL_AFTER", 0.3)
    session = FakeSession(ResumeTimeout("lost"))
    session.after_output = True
    script = "trap '' TERM; echo $$; sleep 600 & wait"
    with pytest.raises(ResumeTimeout):
        await handler_for(Command(("sh", "-c", script)))(as_session(session))


async def test_member_outlives_its_leader() -> None:
    """The session ends when the last process of the group has ended."""
    session = FakeSession()
    session.incoming.put_eof()
    script = "(trap '' TERM; exec sleep 0.3 >&-) & sleep 0.1; echo done"
    await handler_for(Command(("sh", "-c", script)))(as_session(session))
    assert await session.outgoing.get_data() == b"done\n"


async def test_member_of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process group that may not be signalled is left alone."""

    def refuse(group: int, number: int) -> None:
        raise PermissionError

    session = FakeSession()
    session.incoming.put_eof()
    monkeypatch.setattr(os, "killpg", refuse)
    await handler_for(Command(("echo", "done")))(as_session(session))
    assert await session.outgoing.get_data() == b"done\n"
