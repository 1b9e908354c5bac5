"""The guest: open a session with the host of a link."""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from .channel import initiate
from .endpoint import Endpoint, OpenStream
from .errors import (
    AnotherInitiator,
    ConnectionLost,
    PeerAborted,
    ProtocolViolation,
    WaitTimeout,
)
from .events import ClientEvent
from .link import Link
from .messages import NewSession, Refusal, Request
from .outage import Outage
from .session import Session
from .session_runner import run_session
from .websocket import WebSocket

ANSWER_TIMEOUT: Final = 10.0  # maximum time, in seconds, from REQUEST to the answer of the host


@asynccontextmanager
async def connect(  # noqa: PLR0913 - options of the public API
    link: Link | str,
    *,
    ssl_context: ssl.SSLContext | None = None,
    resume_timeout: float = 300.0,
    wait_timeout: float = math.inf,
    on_event: Callable[[ClientEvent], None] | None = None,
    open_stream: OpenStream | None = None,
) -> AsyncIterator[Session]:
    """Open a session with the host of a link, as a guest.

    The session survives lost connections. When the block ends normally, `connect` ends the stream
    to the host, unless `Session.send_eof` has done so, and waits until the host has acknowledged
    the whole stream. Bytes from the host that the program has not read are discarded. An exception
    in the block, or a cancellation, aborts the session. It may take 2 seconds to tell the host.

    Args:
        link: Link, or its text.
        ssl_context: TLS context; None to trust the certificate authorities of the system.
        resume_timeout: Seconds without a connection to the host after which the session fails.
        wait_timeout: Seconds to wait for the host. By default, the guest waits without a limit.
        on_event: Function that receives the events. It must not block or raise.
        open_stream: Function that opens a stream to the relay, for example through a proxy, or
            raises OSError; None to connect over TCP. For wss, the endpoint runs TLS on this stream.
            The function has as much time as a TCP connection.

    Yields:
        The session, once it is connected.

    Raises:
        InvalidLink: The text is not a link.
        NoRelay: The first attempt reached no relay.
        Refused: The relay refused the guest, and would refuse a retry too.
        WaitTimeout: The host did not connect within ``wait_timeout``.
        WrongKey: The host has another key.
        PeerAborted: The host refused or aborted the session.
        ResumeTimeout: The endpoints did not connect again within ``resume_timeout``.
        ProtocolViolation: The host violated the protocol.

    Source: docs/endpoints.md.
    """
    endpoint = Endpoint(
        Link.parse(link) if isinstance(link, str) else link,
        is_host=False,
        ssl_context=ssl_context,
        resume_timeout=resume_timeout,
        on_event=on_event,
        open_stream=open_stream,
    )
    names: NewSession | None = None
    with trio.move_on_after(wait_timeout):
        names = await request_session(endpoint)
    if names is None:
        raise WaitTimeout
    async with run_session(names, endpoint) as session:
        yield session


async def request_session(endpoint: Endpoint) -> NewSession:
    """Return the code and the key of a new session. Wait for the host without a time limit.

    Raises EndpointError if the request failed, and a retry would fail too.
    """
    outage = Outage(None, endpoint.emit)
    while True:
        try:
            async with endpoint.open(endpoint.link.code, outage.duration) as websocket:
                outage.connected()
                return await ask(websocket, endpoint.link)
        except (ConnectionLost, AnotherInitiator) as error:
            await outage.wait(error)


async def ask(websocket: WebSocket, link: Link) -> NewSession:
    """Request a session from the host, over a connection with the link code.

    Raises ConnectionLost, or EndpointError if the host refuses, or is not the host of the link.
    """
    channel = await initiate(websocket, link)
    await channel.send(Request().encode())
    with trio.move_on_after(ANSWER_TIMEOUT):
        answer = await channel.receive()
        await channel.close()
        if isinstance(answer, Refusal):
            raise PeerAborted(answer.reason, answer.text)
        if not isinstance(answer, NewSession):
            raise ProtocolViolation("the host answered REQUEST with another message")
        return answer
    raise ConnectionLost("the host did not answer in time")
