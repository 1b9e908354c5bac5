"""Ends of the sessions of pipe, share and forward that processes rarely have."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import trio

from relay.cli.endpoint import forward, pipe, share
from relay.cli.endpoint.copying import InputFailed
from relay.cli.endpoint.reporter import Reporter
from relay.cli.endpoint.standard_copy import StandardCopy
from relay.cli.endpoint.status import Status
from relay.cli.endpoint.targets import StandardStreams
from relay.client.errors import EndpointError, PeerAborted, WrongKey
from relay.client.link import Link
from relay.client.session import Session
from relay.client.session_state import SessionState

CLOSED = PeerAborted(2, "the program of the peer closed the session")
OPTIONS = share.ShareOptions(
    via=None,
    link_file=None,
    new=False,
    token_file="",
    ca="",
    insecure=False,
    resume_timeout=1,
    max_guests=1,
    quiet=True,
)


def opener(error: Exception | None) -> Callable[[], Any]:
    """Return a function that opens a session without a peer, which fails in the end."""

    @asynccontextmanager
    async def open_session() -> AsyncIterator[Session]:
        yield Session(SessionState())
        if error is not None:
            raise error

    return open_session


def make_reporter() -> Reporter:
    """Return a reporter that writes nothing but errors."""
    return Reporter(Status("host", "waiting"), sys.stderr, quiet=True)


@pytest.fixture(params=[True, False], ids=["complete", "incomplete"])
def is_complete(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Return True if the whole stream of the peer was written before the end of the session."""

    async def copy(self: StandardCopy, session: Session) -> None:
        self.received_all = request.param

    monkeypatch.setattr(StandardCopy, "run", copy)
    return cast("bool", request.param)


async def expect(ending: Callable[[], Awaitable[None]], *, is_clean: bool) -> None:
    """Assert that a command ends cleanly, or with the error of its session."""
    if is_clean:
        await ending()
    else:
        with pytest.raises(PeerAborted):
            await ending()


async def test_pipe(is_complete: bool) -> None:
    """A peer that closes the session after the end of its stream is a clean end."""
    await expect(lambda: pipe.pipe(opener(CLOSED), make_reporter()), is_clean=is_complete)


async def test_share(is_complete: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same is a clean end of `share -`."""

    async def serve(link: Link, handler: Callable[[Session], Awaitable[None]], **_: Any) -> None:
        await handler(Session(SessionState()))
        raise CLOSED

    monkeypatch.setattr(share, "serve", serve)
    link = Link.new("ws://relay.example/")

    async def run() -> None:
        await share.share(StandardStreams(), link, OPTIONS, None, None)

    await expect(run, is_clean=is_complete)


@pytest.mark.parametrize("error", [WrongKey(), EndpointError("lost"), InputFailed()])
async def test_forward(
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An error of every session ends the command; any other one resets a connection."""

    async def copy(session: Session, stream: trio.SocketStream) -> None:
        raise error

    monkeypatch.setattr(forward, "copy_both", copy)
    reporter = make_reporter()
    listener, *_ = await trio.open_tcp_listeners(0, host="127.0.0.1")
    client = await trio.open_tcp_stream(*listener.socket.getsockname())
    async with listener, client:
        accepted = await listener.accept()
        if isinstance(error, WrongKey):
            with pytest.raises(WrongKey):
                await forward.forward_one(opener(None), accepted, reporter)
        else:
            await forward.forward_one(opener(None), accepted, reporter)
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()
    said = "arc-relay: a connection failed: lost\n" if type(error) is EndpointError else ""
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("announce", [True, False])
async def test_address_of_forward(announce: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """The local address is announced on request."""
    with trio.move_on_after(0.1):
        await forward.forward(
            opener(None), forward.parse_local(None), make_reporter(), announce=announce
        )
    assert ("arc-relay: forwarding 127.0.0.1:" in capsys.readouterr().err) == announce
