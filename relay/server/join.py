"""Admit a client, and check that it may join the pair of its code.

If the code belongs to a pair with a dead side, the relay evicts that pair first. The client then
starts a new pair, under the rules for new pairs. docs/protocol.md has the rules for the token.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol

import trio

from ..events import ProxyNotTrusted
from ..limits.reason import Reason, Refusal
from ..pairing.alive_check import sides_to_check
from ..pairing.pair import Pair
from ..pairing.side import Side
from ..protocol.handshake import Handshake, asks_for_websocket
from ..protocol.request import Request
from ..protocol.response import (
    NO_AUTHORIZED_HOST,
    PAIR_IS_FULL,
    RELAY_IS_FULL,
    RELAY_IS_STOPPING,
    TOKEN_REQUIRED,
    TOO_MANY_WAITING,
    Response,
    try_later,
)
from .state import RelayState
from .takeover import evict_dead

TOO_MANY: Final = HTTPStatus.TOO_MANY_REQUESTS

RESPONSES: Final = {
    Reason.RELAY_IS_FULL: RELAY_IS_FULL,
    Reason.TOO_MANY_ATTEMPTS: try_later(TOO_MANY, "too many attempts from this client"),
    Reason.TOO_MANY_CONNECTIONS: try_later(TOO_MANY, "too many connections from this client"),
    Reason.TOO_MANY_WAITING: TOO_MANY_WAITING,
    Reason.TOKEN_REQUIRED: TOKEN_REQUIRED,
    Reason.NO_AUTHORIZED_HOST: NO_AUTHORIZED_HOST,
}
"""Response for each reason to refuse a client."""


def response_to(refusal: Refusal) -> Response:
    """Return the response for a refusal."""
    response = RESPONSES[refusal.reason]
    seconds = refusal.retry_after
    return response if seconds is None else response.with_retry_after(seconds)


def with_token_detail(response: Response, token: bytes | None) -> Response:
    """Add a detail for the log to a 401 response: "no token" or "wrong token"."""
    if response.status is not HTTPStatus.UNAUTHORIZED:
        return response
    return replace(response, detail="no token" if token is None else "wrong token")


class Joined(NamedTuple):
    """Membership of a connection in a pair, and the 101 response for its client."""

    pair: Pair
    side: Side
    response: bytes


class Client(Protocol):
    """The part of a connection that `validate_request` uses."""

    client: str
    """Client address; "" if unknown. `validate_request` replaces the address of a trusted proxy
    with the client address that the proxy reports."""


def validate_request(
    state: RelayState, connection: Client, request: Request
) -> Handshake | Response:
    """Validate a request. If it asks for an upgrade, admit its client first.

    Admission comes before validation, because admission needs only the client address. A client
    that is not admitted therefore costs little CPU time.
    """
    if asks_for_websocket(request):
        if request.is_forwarded and state.proxies.reports(connection.client):
            state.publish(ProxyNotTrusted(connection.client))
        connection.client = state.proxies.resolve(connection.client, request.forwarded_for)
        if state.refuses_sides:
            return RELAY_IS_STOPPING
        if refusal := state.admission.admit(connection, connection.client, trio.current_time()):
            return response_to(refusal)
    return state.respond(request)


def must_wait(state: RelayState, code: str) -> bool:
    """Return True if `check_join` may have to wait for a takeover check."""
    pair = state.pairs.find(code)
    return pair is not None and bool(sides_to_check(pair))


async def check_join(state: RelayState, code: str, authorization: int) -> Response | None:
    """Return the response that refuses a client; None if the client may join with the code now.

    A pair with a dead side is evicted first. The result is valid only until the next checkpoint, so
    the caller must add the side to the pair before then.
    """
    reopened = state.pairs.find(code) is not None
    evicted = await evict_dead(state, code, authorization)
    pair = state.pairs.find(code)
    if pair is None:
        # If a pair was evicted for this client, the new pair only replaces it, so max_waiting does
        # not apply.
        waiting = 0 if evicted else state.pairs.waiting
        refusal = state.admission.check_new_code(authorization, waiting, reopened=reopened)
    elif pair.b is None:
        refusal = state.admission.check_join(authorization, pair.a.authorization)
    else:
        return PAIR_IS_FULL
    return refusal and response_to(refusal)
