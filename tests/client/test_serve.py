"""A host and its guests."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from relay import RelaySettings
from relay.client import (
    Connected,
    Link,
    NoRelay,
    PeerAborted,
    Refused,
    ResumeTimeout,
    Retrying,
    Session,
    TargetError,
    Waiting,
)
from relay.client.channel import initiate, start_handshake
from relay.client.endpoint import Endpoint
from relay.client.errors import ConnectionLost
from relay.client.messages import NewSession, Ping, Request
from relay.client.websocket import WebSocket
from tests.support.endpoints import Endpoints, accept_upgrade, echo, ended_with, response

TOKEN = "token-of-this-relay"  # noqa: S105 - of the relay of these tests


async def use(endpoints: Endpoints) -> None:
    """Open a session and exchange a byte."""
    async with endpoints.connect() as session:
        await session.send_all(b"a")
        assert await session.receive_some() == b"a"


def dialer(endpoints: Endpoints) -> Endpoint:
    """Return a dialer for a guest that the test plays."""
    return Endpoint(endpoints.link, is_host=False, open_stream=endpoints.guest.open_line)


async def first_message(endpoints: Endpoints, websocket: WebSocket) -> None:
    """Send the handshake message of a guest."""
    await websocket.send(start_handshake(endpoints.link).write())


async def test_host_waits(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """A host waits for hours without an event, and serves a guest then."""
    await endpoints.serve(echo)
    await trio.sleep(7200)
    assert endpoints.host.events == [Waiting()]
    await use(endpoints)


async def test_relay_restarts(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """A host whose relay is away for some time tries again, and waits again."""
    await endpoints.serve(echo)
    await trio.sleep(10)
    endpoints.host.is_offline = True
    await trio.aclose_forcefully(endpoints.host.lines[-1])
    await trio.sleep(100)
    endpoints.host.is_offline = False
    await trio.sleep(20)
    assert endpoints.host.events[-1] == Waiting()
    assert endpoints.host.reasons[0] == "the connection was cut, without a close frame"
    assert {*endpoints.host.reasons[1:]} == {"no connection to the relay: connection refused"}
    await use(endpoints)


async def test_no_relay(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """A host whose first attempt fails raises."""
    endpoints.host.is_offline = True
    errors: list[Exception] = []
    with pytest.raises(RuntimeError):  # task_status was not used
        await endpoints.serve(echo, errors)
    assert [type(error) for error in errors] == [NoRelay]


async def test_once(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """With once, the first session ends the host; further guests are refused meanwhile."""
    errors: list[Exception] = []
    await endpoints.serve(echo, errors, once=True)
    async with endpoints.connect() as session:
        with pytest.raises(PeerAborted, match="serves no further guest"):
            await use(endpoints)
        await session.send_all(b"a")
    await trio.sleep(1)
    assert ended_with(endpoints.host) == [None]
    assert errors == []
    lines = len(endpoints.host.lines)
    await trio.sleep(1000)
    assert len(endpoints.host.lines) == lines


@pytest.mark.parametrize("error", [TargetError("gone"), ZeroDivisionError()])
async def test_once_fails(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock, error: Exception
) -> None:
    """With once, the failure of the session is raised."""

    async def handler(session: Session) -> None:
        raise error

    errors: list[Exception] = []
    await endpoints.serve(handler, errors, once=True)
    with pytest.raises(PeerAborted):
        async with endpoints.connect() as session:
            await session.receive_some()
    await trio.sleep(1)
    assert errors == [error]


async def test_guest_never_joins_session(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """A guest that does not join its session uses up neither the handler nor the only session."""
    await endpoints.serve(echo, once=True)
    link = endpoints.link
    async with dialer(endpoints).open(link.code, 0) as websocket:
        channel = await initiate(websocket, link)
        await channel.send(Request().encode())
        assert isinstance(await channel.receive(), NewSession)
        begin = trio.current_time()
        await trio.sleep(6)  # the host closes the connection
    with pytest.raises(PeerAborted):
        await use(endpoints)
    await trio.sleep(begin + 31 - trio.current_time())
    assert endpoints.host.of(Connected) == []
    await use(endpoints)


@pytest.mark.parametrize(
    ("messages", "reason", "seconds"),
    [
        ([b"garbage"], "the peer does not have the key of this link", 1),
        ([bytes(60_000)], "the peer does not have the key of this link", 1),
        ([None], "a guest did not complete the handshake in time", 6),
        ([None, bytes(1000)], "a guest sent too much before it was authenticated", 1),
        ([None, bytes(20)], "message does not decrypt", 1),
    ],
)
async def test_unauthenticated_guest(
    endpoints: Endpoints,
    autojump_clock: trio.testing.MockClock,
    messages: list[bytes | None],
    reason: str,
    seconds: float,
) -> None:
    """A guest that is not authenticated is disconnected, and others are served."""
    await endpoints.serve(echo)
    async with dialer(endpoints).open(endpoints.link.code, 0) as websocket:
        for message in messages:
            if message is None:
                await first_message(endpoints, websocket)
            else:
                await websocket.send(message)
        await trio.sleep(seconds)
    await use(endpoints)
    assert endpoints.host.reasons == [reason]


async def test_wrong_request(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """A guest whose first message is not REQUEST is disconnected."""
    await endpoints.serve(echo)
    link = endpoints.link
    async with dialer(endpoints).open(link.code, 0) as websocket:
        channel = await initiate(websocket, link)
        await channel.send(Ping().encode())
        await trio.sleep(1)
    assert endpoints.host.reasons == ["a guest did not begin with REQUEST"]


async def test_many_wrong_guests(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """Wrong guests in a row meet delays of up to a second, and a good one is served soon."""
    await endpoints.serve(echo)
    with trio.move_on_after(20):
        while True:
            try:
                async with dialer(endpoints).open(endpoints.link.code, 0) as websocket:
                    await websocket.send(b"garbage")
                    await trio.sleep(0.05)
            except ConnectionLost:
                await trio.sleep(0.1)
    delays = [event.delay for event in endpoints.host.of(Retrying)]
    assert len(delays) < 100
    assert max(delays) <= 1
    begin = trio.current_time()
    await use(endpoints)
    assert trio.current_time() - begin < 3


async def test_another_host(
    endpoints: Endpoints, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """Two hosts of one link are noticed at once, and guests are served in between."""
    await endpoints.serve(echo)
    await endpoints.serve(echo)
    await trio.sleep(1)
    reason = "another host may use this link: a peer connected and is no guest"
    assert endpoints.host.reasons == [reason] * 2
    nursery.start_soon(use, endpoints)
    await trio.sleep(300)
    assert ended_with(endpoints.guest) == [None]


async def test_silent_peer(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """A peer that sends nothing keeps guests away for 400 s at most."""
    await endpoints.serve(echo)
    async with dialer(endpoints).open(endpoints.link.code, 0) as websocket:
        assert await websocket.receive() == b""
        begin = trio.current_time()
        with pytest.raises(ConnectionLost):
            await websocket.receive()
        assert 300 < trio.current_time() - begin < 400
    await use(endpoints)


async def test_peer_leaves_without_a_message(
    endpoints: Endpoints, autojump_clock: trio.testing.MockClock
) -> None:
    """A peer that leaves without a message counts as another host."""
    await endpoints.serve(echo)
    async with dialer(endpoints).open(endpoints.link.code, 0) as websocket:
        assert await websocket.receive() == b""
        await websocket.close()
    await trio.sleep(20)
    await use(endpoints)
    reason = "another host may use this link: a peer connected and is no guest"
    assert endpoints.host.reasons == [reason]


async def test_connections_are_cut(
    endpoints: Endpoints, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A relay that cuts each connection at once gets few attempts after the first minute."""
    attempts = 0

    async def answer(server: trio.abc.Stream) -> None:
        await server.send_all(accept_upgrade(bytes(await server.receive_some())))
        await server.aclose()

    async def open_stream() -> trio.abc.Stream:
        nonlocal attempts
        attempts += 1
        client, server = trio.testing.memory_stream_pair()
        nursery.start_soon(answer, server)
        return client

    await endpoints.serve(echo, open_stream=open_stream)
    await trio.sleep(60)
    in_first_minute = attempts
    await trio.sleep(600)
    assert 50 < in_first_minute < 300
    assert attempts - in_first_minute < 200


class TestToken:
    """The relay has a token."""

    @pytest.fixture
    def settings(self, tmp_path: Path) -> RelaySettings:
        """Return settings with a token."""
        file = tmp_path / "token"
        file.write_text(f"{TOKEN}\n")
        file.chmod(0o600)
        return RelaySettings(
            ping_interval=0, stall_timeout=0, takeover_timeout=0, token_file=str(file)
        )

    async def test_token(
        self, endpoints: Endpoints, autojump_clock: trio.testing.MockClock
    ) -> None:
        """Only the host needs the token; a guest that comes before it tries again."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(use, endpoints)
            await trio.sleep(10)
            await endpoints.serve(echo, token=TOKEN)
        assert endpoints.guest.reasons[0].startswith("the host is not connected (")
        async with endpoints.connect() as session:
            await endpoints.host.cut()
            await endpoints.guest.wait_connected(3)
            await session.send_all(b"a")
            assert await session.receive_some() == b"a"

    async def test_wrong_token(
        self, endpoints: Endpoints, autojump_clock: trio.testing.MockClock
    ) -> None:
        """A host with a wrong token is refused."""
        errors: list[Exception] = []
        with pytest.raises(RuntimeError):
            await endpoints.serve(echo, errors, token=TOKEN[1:])
        (error,) = errors
        assert isinstance(error, Refused)
        assert error.status == 401

    async def test_token_is_revoked(
        self, endpoints: Endpoints, autojump_clock: trio.testing.MockClock
    ) -> None:
        """A session of a host that is refused meanwhile fails."""
        errors: list[Exception] = []
        await endpoints.serve(echo, errors, token=TOKEN)
        with pytest.raises(ResumeTimeout):
            async with endpoints.connect() as session:
                endpoints.host.responses.append(response("401 Unauthorized", "token"))
                await endpoints.host.cut()
                await session.receive_some()
        (error,) = ended_with(endpoints.host)
        assert isinstance(error, Refused)


async def test_text_of_link(endpoints: Endpoints, autojump_clock: trio.testing.MockClock) -> None:
    """A host accepts the text of a link."""
    await endpoints.serve(echo, link=endpoints.link.text)
    await use(endpoints)
    assert Link.parse(endpoints.link.text) == endpoints.link
