"""Who is let in: the limits of the relay, and the token that opens a new code."""

from __future__ import annotations

from typing import Final

import trio

from .address import TrustedProxies, counted_by
from .admission import Admission
from .answers import (
    RELAY_IS_FULL,
    RELAY_IS_STOPPING,
    TOKEN_NEEDED,
    TOO_MANY_WAITING,
    Answer,
    too_many_requests,
)
from .kernel import descriptor_limit
from .request import token_matches
from .settings import RelaySettings
from .token_file import read_token

__all__ = ["Entrance"]

SHARE: Final = 0.9
"""The part of the descriptors that connections may have by default; the rest is for their ends."""


class Entrance:
    """Knows how many may come in, and counts them.

    Raises OSError or ValueError, saying what was wrong, if the file of the token cannot be used.
    """

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        limit = settings.max_connections
        self.max_connections = int(descriptor_limit() * SHARE) if limit is None else limit
        self.places: dict[trio.CancelScope, str] = {}
        """What each connection counts as that was let in and is not over, by its scope."""
        self.closed = False
        """Whether nobody is let in any more."""
        self._proxies = TrustedProxies(settings.trusted_proxies)
        self._counts = bool(settings.max_per_client or settings.connects_per_minute)
        self.admission = Admission(settings.max_per_client, settings.connects_per_minute)
        """What is kept of each client."""
        self._token = b""
        self.reload()

    def reload(self) -> bool:
        """Read the token again, if there is one; if that fails, the old one stays in force."""
        path = self._settings.host_token_file
        if not path:
            return False
        self._token = read_token(path)
        return True

    @property
    def full(self) -> bool:
        """Whether no connection more is let in."""
        return 0 < self.max_connections <= len(self.places)

    def client(self, peer: str, forwarded: str = "") -> str:
        """Return the address of the client behind a peer, as far as it can be believed."""
        return self._proxies.client(peer, forwarded) if self._settings.trusted_proxies else peer

    def enter(self, scope: trio.CancelScope, client: str) -> Answer | None:
        """Let a connection in, until it is to `leave`; or return why it may not come in."""
        if self.closed:
            return RELAY_IS_STOPPING
        if self.full:
            return RELAY_IS_FULL
        counted = counted_by(client) if self._counts else ""
        if self._counts:
            refusal = self.admission.admit(counted, trio.current_time())
            if refusal is not None:
                return too_many_requests(refusal.why, refusal.retry_after)
        self.places[scope] = counted
        return None

    def leave(self, scope: trio.CancelScope) -> None:
        """Count a connection no more, if it was let in."""
        counted = self.places.pop(scope, None)
        if self._counts and counted is not None:
            self.admission.leave(counted)

    def may_open(self, token: str | None, waiting: int) -> Answer | None:
        """Return why a client may not open a new code while so many wait, None if it may."""
        if self._token and not token_matches(token, self._token):
            return TOKEN_NEEDED
        return TOO_MANY_WAITING if 0 < self._settings.max_waiting <= waiting else None
