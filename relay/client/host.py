"""The host: serve the guests of a link."""

from __future__ import annotations

import random
import secrets
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from .channel import HOST_SIGN, Channel, accept, wait_for_peer
from .endpoint import Endpoint, OpenStream
from .errors import ConnectionLost, NoRelay, ProtocolViolation, Refused, WrongKey, drop_tracebacks
from .events import ClientEvent
from .link import KEY_SIZE, Link, new_code
from .messages import Message, NewSession, Reason, Refusal, Request
from .outage import Outage
from .session import Session
from .session_runner import run_session
from .websocket import WebSocket

# Seconds after which a host without a guest connects again; up to a fifth is added at random. A
# relay ends a side that has waited for 300 s. A connection that lasts longer may have a silent
# peer, such as another host.
MAX_WAIT: Final = 330.0

MAX_DELAY: Final = 15.0  # seconds until the next attempt after another host or a silent peer
LEAVE_TIMEOUT: Final = 5.0  # seconds in which a guest closes its connection with the link code
ANOTHER_HOST: Final = "another host may use this link: a peer connected and is no guest"

Handler = Callable[[Session], Awaitable[None]]


async def serve(  # noqa: PLR0913 - options of the public API
    link: Link | str,
    handler: Handler,
    *,
    token: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    resume_timeout: float = 300.0,
    max_sessions: int = 100,
    once: bool = False,
    on_event: Callable[[ClientEvent], None] | None = None,
    open_stream: OpenStream | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the guests of a link, as its host, until cancelled.

    The handler runs once for each guest. Several handlers can run at the same time. When a handler
    returns, the stream to its guest ends. The session is over once the guest has acknowledged the
    whole stream. An exception of a handler aborts only the session of this handler. If the
    exception is a TargetError, the guest receives its text. Cancellation aborts all sessions, and
    takes up to 2 seconds, because the host tells the guests first.

    Args:
        link: Link, or its text.
        handler: Function that serves one guest.
        token: Token of the relay; None to send no token.
        ssl_context: TLS context; None to trust the certificate authorities of the system.
        resume_timeout: Seconds without a connection to a guest after which its session fails.
        max_sessions: Maximum number of sessions at the same time. Further guests are refused.
        once: True to serve only one guest, and to return when its session is over.
        on_event: Function that receives the events. It must not block or raise.
        open_stream: Function that opens a stream to the relay, for example through a proxy, or
            raises OSError; None to connect over TCP. For wss, the endpoint runs TLS on this stream.
            The function has as much time as a TCP connection.
        task_status: Started once the relay has accepted the first connection.

    Raises:
        InvalidLink: The text is not a link.
        NoRelay: The first attempt reached no relay.
        Refused: The relay refused the host, and would refuse a retry too.
        EndpointError: With ``once``, the session failed.

    Source: docs/endpoints.md.
    """
    endpoint = Endpoint(
        Link.parse(link) if isinstance(link, str) else link,
        is_host=True,
        ssl_context=ssl_context,
        token=token,
        resume_timeout=resume_timeout,
        on_event=on_event,
        open_stream=open_stream,
    )
    await Host(endpoint, handler, 1 if once else max_sessions, once=once).run(task_status)


class Host:
    """Host of a link: a connection with the link code, and the sessions of the guests."""

    def __init__(
        self, endpoint: Endpoint, handler: Handler, max_sessions: int, *, once: bool
    ) -> None:
        self._endpoint = endpoint
        self._handler = handler
        self._max_sessions = max_sessions
        self._once = once
        self._sessions = 0
        self._failure: Exception | None = None
        self._nursery: trio.Nursery

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Serve guests until cancelled, or, with ``once``, until the end of the first session."""
        outage = Outage(None, self._endpoint.emit)
        async with trio.open_nursery() as self._nursery:
            while True:
                try:
                    await self._wait_for_guest(outage, task_status)
                except (ConnectionLost, ProtocolViolation, WrongKey) as error:
                    await outage.wait(error)
                except (NoRelay, Refused) as error:
                    self._end(error)
                    break
        if self._failure is not None:
            raise self._failure

    async def _wait_for_guest(self, outage: Outage, task_status: trio.TaskStatus[None]) -> None:
        """Connect with the link code, wait for one guest and answer it."""
        endpoint = self._endpoint
        is_first = not endpoint.was_accepted
        async with endpoint.open(endpoint.link.code, outage.duration) as websocket:
            outage.connected()
            if is_first:
                task_status.started()
            first = None
            # Random, so that two hosts that are joined do not give up at the same time.
            with trio.move_on_after(MAX_WAIT * random.uniform(1, 1.2)):  # noqa: S311 - no secret
                first = await first_message(websocket)
            if first is not None:
                await self._answer(*await accept(websocket, endpoint.link, first))

    async def _answer(self, channel: Channel, request: Message) -> None:
        """Answer the request of an authenticated guest. Let the guest close the connection."""
        if not isinstance(request, Request):
            raise ProtocolViolation("a guest did not begin with REQUEST")
        if self._sessions < self._max_sessions:
            names = NewSession(new_code(), secrets.token_bytes(KEY_SIZE))
            await channel.send(names.encode())
            self._sessions += 1
            self._nursery.start_soon(self._serve_session, names)
        else:
            refusal = Refusal(Reason.NO_FURTHER_GUEST, "the host serves no further guest")
            await channel.send(refusal.encode())
        with trio.move_on_after(LEAVE_TIMEOUT), suppress(ConnectionLost):
            await channel.receive()
        await channel.close()

    async def _serve_session(self, names: NewSession) -> None:
        """Run the handler for one guest. An exception of the handler ends only this session."""
        has_begun, failure = False, None
        try:
            async with run_session(names, self._endpoint) as session:
                has_begun = True
                await self._handler(session)
        except Exception as error:  # noqa: BLE001 - an event reports it
            failure = error
        self._sessions -= 1
        if self._once and has_begun:
            self._end(failure)
        elif failure is not None:
            drop_tracebacks(failure)

    def _end(self, failure: Exception | None) -> None:
        """Make `run` raise an exception, or return if ``failure`` is None."""
        self._failure = failure
        self._nursery.cancel_scope.cancel()


async def first_message(websocket: WebSocket) -> bytes:
    """Wait for the first message of a guest and return it. Raises ConnectionLost."""
    try:
        await websocket.send(HOST_SIGN)
        first = await wait_for_peer(websocket)
    except ConnectionLost as error:
        if not error.is_peer_gone:
            raise
        first = HOST_SIGN
    if first == HOST_SIGN:
        # The random delay gives guests time to reach the other host.
        delay = MAX_DELAY * random.random()  # noqa: S311 - not a secret
        raise ConnectionLost(ANOTHER_HOST, retry_after=delay)
    return first
