"""Ends of the sessions of pipe and forward that processes rarely have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from relay.cli.endpoint import guest
from relay.cli.endpoint.copying import LocalStreamFailed
from relay.cli.endpoint.options import ForwardOptions, PipeOptions
from relay.cli.endpoint.reporter import Reporter
from relay.cli.endpoint.standard_io import StandardIO
from relay.cli.endpoint.status import Status
from relay.client import EndpointError, Link, PeerAborted, Session, WrongKey
from tests.support.fake_session import FakeSession, as_session

CLOSED = PeerAborted(2, "the program of the peer closed the session")
REFUSED = PeerAborted(1, "no target")
LINK = Link.new("ws://relay.example/").text


def opener(error: Exception | None) -> Callable[..., Any]:
    """Return a function that opens a session without a peer, which fails in the end."""

    @asynccontextmanager
    async def open_session(*_: object, **__: object) -> AsyncIterator[Session]:
        yield as_session(FakeSession())
        if error is not None:
            raise error

    return open_session


@pytest.mark.parametrize(
    ("is_complete", "error", "status"),
    [(True, CLOSED, 0), (False, CLOSED, 1), (True, REFUSED, 1), (True, None, 0)],
)
async def test_pipe(
    is_complete: bool, error: Exception | None, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that closes the session after the end of its stream is a clean end."""

    async def copy(session: Session, local: StandardIO) -> None:
        local.is_output_complete = is_complete

    monkeypatch.setattr(guest, "copy_both", copy)
    monkeypatch.setattr(guest, "connect", opener(error))
    run = guest.prepare_pipe(PipeOptions(link=LINK, quiet=True))
    assert await run() == status


@pytest.mark.parametrize("error", [WrongKey(), EndpointError("lost"), LocalStreamFailed()])
async def test_forward_one(
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An error of every session ends the command; any other one resets a connection."""

    async def copy(session: Session, stream: trio.SocketStream) -> None:
        raise error

    monkeypatch.setattr(guest, "copy_both", copy)
    reporter = Reporter(Status("host", "waiting"), quiet=True)
    listener, *_ = await trio.open_tcp_listeners(0, host="127.0.0.1")
    client = await trio.open_tcp_stream(*listener.socket.getsockname())
    async with listener, client:
        accepted = await listener.accept()
        if isinstance(error, WrongKey):
            with pytest.raises(WrongKey):
                await guest.forward_one(opener(None), reporter, accepted)
        else:
            await guest.forward_one(opener(None), reporter, accepted)
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()
    said = "arc-relay: a connection failed: lost\n" if type(error) is EndpointError else ""
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("local", "quiet", "is_announced"),
    [(None, True, True), ("unix:local", False, True), ("unix:local", True, False)],
)
async def test_address_of_forward(  # noqa: PLR0917 - parameters and fixtures
    local: str | None,
    quiet: bool,
    is_announced: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The local address is announced, also with --quiet if the system has chosen the port."""
    monkeypatch.chdir(tmp_path)
    run = guest.prepare_forward(ForwardOptions(link=LINK, local=local, quiet=quiet))
    with trio.move_on_after(0.1):
        await run()
    address = local or "127.0.0.1:"
    assert (f"arc-relay: forwarding {address}" in capsys.readouterr().err) == is_announced


async def test_name_of_a_listener() -> None:
    """The name of a listener is an address, also for IPv6."""
    try:
        (listener,) = await trio.open_tcp_listeners(0, host="::1")
    except OSError:
        pytest.skip("NOT TESTED: no IPv6")
    async with listener:
        assert guest.name_of(listener).startswith("[::1]:")
