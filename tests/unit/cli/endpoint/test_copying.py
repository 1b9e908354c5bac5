"""Failures of the streams between which bytes are copied."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from relay.cli.endpoint.copying import LocalStreamFailed, copy, copy_both
from relay.client import ResumeTimeout
from tests.support.fake_session import FakeSession, as_session


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


async def test_input_fails() -> None:
    """The failure of a local stream is told from that of the session."""
    with pytest.raises(LocalStreamFailed, match="I/O error"):
        await copy(BrokenStream(), as_session(FakeSession()))


@pytest.mark.parametrize("data", [b"", b"data"])
async def test_output_fails(data: bytes) -> None:
    """A local program that reads no more does not end the other direction."""
    session = FakeSession()
    session.incoming.put_data(data)
    session.incoming.put_eof()
    with pytest.raises(LocalStreamFailed, match="it was closed"):
        await copy(as_session(session), BrokenStream())
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
    """The error of a session is raised, not in a group, and not its consequence."""
    session = FakeSession(ResumeTimeout("lost"))
    with pytest.raises(ResumeTimeout):
        await copy_both(as_session(session), trio.testing.memory_stream_pair()[0])


async def test_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception is not hidden."""

    async def fail(max_bytes: int) -> bytes:
        raise ZeroDivisionError

    session = FakeSession()
    monkeypatch.setattr(session, "receive_some", fail)
    with pytest.raises(ExceptionGroup):
        await copy_both(as_session(session), trio.testing.memory_stream_pair()[0])
