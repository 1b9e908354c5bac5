"""Admit connections within the limits of the relay, and check the host token."""

from __future__ import annotations

from typing import Final

import trio

from ..protocol.handshake import token_matches
from ..protocol.response import (
    NO_AUTHORIZED_HOST,
    RELAY_IS_FULL,
    RELAY_IS_STOPPING,
    TOKEN_REQUIRED,
    TOO_MANY_WAITING,
    Response,
    too_many_requests,
)
from ..server.token_file import read_token
from ..settings import RelaySettings
from ..transport.socket_info import descriptor_limit
from .client_address import TrustedProxies, rate_limit_key
from .per_client import ClientLimits

__all__ = ["AdmissionControl"]

CLIENT_SHARE: Final = 0.9
"""Default share of the descriptor limit for connections.

The rest is for the relay itself, and for connections without a slot: handshakes and refusals.
"""


class AdmissionControl:
    """Admission control of one relay: slots, limits per client, and the host token.

    Raises OSError or ValueError with a message for the operator if the token file cannot be used.
    """

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        limit = settings.max_connections
        self.max_connections = int(descriptor_limit() * CLIENT_SHARE) if limit is None else limit
        self.slots: dict[trio.CancelScope, str] = {}
        """Rate-limit key of each admitted connection, by its scope."""
        self.closed = False
        """True if the relay stops and refuses every connection."""
        self._proxies = TrustedProxies(settings.trusted_proxies)
        self._counts = bool(settings.max_connections_per_client or settings.max_connects_per_minute)
        self.client_limits = ClientLimits(
            settings.max_connections_per_client, settings.max_connects_per_minute
        )
        """Limits per client."""
        self._token = b""
        self.authorized: set[trio.CancelScope] = set()
        """Scopes of the open connections that showed the token in force."""
        self.reload_token()

    def reload_token(self) -> bool:
        """Read the token file again; return False if the settings have none.

        A new token revokes the authorization of every open connection. Raises OSError or ValueError
        if the file cannot be used; the old token then stays in force.
        """
        path = self._settings.token_file
        if not path:
            return False
        token = read_token(path)
        if token != self._token:
            self.authorized.clear()
        self._token = token
        return True

    @property
    def needs_token(self) -> bool:
        """True if a client needs a token to open a new code."""
        return bool(self._token)

    @property
    def full(self) -> bool:
        """True if `max_connections` is reached."""
        return 0 < self.max_connections <= len(self.slots)

    def resolve_client(self, peer: str, forwarded: str = "") -> str:
        """Return the client address: the peer, or the address that trusted proxies forwarded."""
        return self._proxies.resolve(peer, forwarded) if self._settings.trusted_proxies else peer

    def admit(self, scope: trio.CancelScope, client: str) -> Response | None:
        """Give a connection a slot until `release` and return None, or return the refusal.

        The check depends on the client address and the state of the relay, not on the request.
        """
        if self.closed:
            return RELAY_IS_STOPPING
        if self.full:
            return RELAY_IS_FULL
        counted = rate_limit_key(client) if self._counts else ""
        if self._counts:
            refusal = self.client_limits.acquire(counted, trio.current_time())
            if refusal is not None:
                return too_many_requests(refusal.why, refusal.retry_after)
        self.slots[scope] = counted
        return None

    def release(self, scope: trio.CancelScope) -> None:
        """Release the slot of a connection, if it was admitted."""
        self.authorized.discard(scope)
        counted = self.slots.pop(scope, None)
        if self._counts and counted is not None:
            self.client_limits.release(counted)

    def show_token(self, scope: trio.CancelScope, token: bytes | None) -> None:
        """Authorize a connection until `release` if its token is the token in force."""
        if self._token and token_matches(token, self._token):
            self.authorized.add(scope)

    def is_authorized(self, scope: trio.CancelScope) -> bool:
        """Return True if a connection showed the token in force, or the relay has no token.

        A token that was replaced since the handshake authorizes no connection.
        """
        return not self._token or scope in self.authorized

    def check_new_code(
        self, scope: trio.CancelScope, waiting: int, *, reopened: bool = False
    ) -> Response | None:
        """Return the refusal of a client that would open a new code, or None.

        ``waiting`` is the number of other codes with a waiting side. ``reopened`` is true if the
        code was in use when the request arrived.
        """
        if not self.is_authorized(scope):
            return NO_AUTHORIZED_HOST if reopened else TOKEN_REQUIRED
        return TOO_MANY_WAITING if 0 < self._settings.max_waiting <= waiting else None

    def may_join(self, scope: trio.CancelScope, host: trio.CancelScope) -> Response | None:
        """Return the refusal of a client that would join a waiting side, or None.

        The client or the waiting side must be authorized. ``host`` is the scope of the waiting
        side.
        """
        allowed = self.is_authorized(scope) or self.is_authorized(host)
        return None if allowed else NO_AUTHORIZED_HOST
