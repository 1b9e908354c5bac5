"""Admit connections within the limits of the relay, and check the token.

Pure: the caller passes the time, in seconds of its own clock. A connection can be any hashable
object.
"""

from __future__ import annotations

import hmac
from typing import Final

from .client_address import rate_limit_key
from .per_client import ClientLimits
from .reason import Reason, Refusal

CLIENT_SHARE: Final = 0.9
"""Share of the descriptor limit that admitted connections may use by default.

The other descriptors are for the relay itself, and for connections without a slot: those that have
not completed their request head, and those that were refused.
"""


class AdmissionControl:
    """Admission control of one relay: slots, limits per client, and the token.

    Each limit has the value of the setting with the same name; 0 means no limit. If
    ``max_connections`` is None, the limit is `CLIENT_SHARE` of ``descriptors``, the descriptor
    limit of the process. A client that shows the token gets an authorization, which is a number
    that stays valid until the token changes.
    """

    def __init__(
        self,
        *,
        max_connections: int | None = None,
        max_waiting: int = 0,
        max_connections_per_client: int = 0,
        max_connects_per_minute: int = 0,
        descriptors: int = 0,
    ) -> None:
        self.max_connections = (
            int(descriptors * CLIENT_SHARE) if max_connections is None else max_connections
        )
        self.slots: dict[object, str] = {}
        """Rate-limit key of each admitted connection."""
        self._max_waiting = max_waiting
        self._limits_clients = bool(max_connections_per_client or max_connects_per_minute)
        self.client_limits = ClientLimits(max_connections_per_client, max_connects_per_minute)
        """Limits per client, which the caller must prune at intervals."""
        self._token = b""
        self._token_number = 0

    @property
    def full(self) -> bool:
        """True if `max_connections` is reached."""
        return 0 < self.max_connections <= len(self.slots)

    def admit(self, connection: object, client: str, now: float) -> Refusal | None:
        """Give a connection a slot and return None; if a limit is reached, return the refusal.

        The result depends on ``client``, the client address, and on other connections, but not on
        the request. The connection holds the slot until `release`.
        """
        if self.full:
            return Refusal(Reason.RELAY_IS_FULL)
        key = rate_limit_key(client) if self._limits_clients else ""
        refusal = self.client_limits.acquire(key, now)
        if refusal is None:
            self.slots[connection] = key
        return refusal

    def release(self, connection: object) -> None:
        """Release the slot of a connection, if the connection has one."""
        if (key := self.slots.pop(connection, None)) is not None:
            self.client_limits.release(key)

    @property
    def needs_token(self) -> bool:
        """True if a client needs a token to start a new pair."""
        return bool(self._token)

    def set_token(self, token: bytes) -> None:
        """Replace the token. If the new token differs, all authorizations become invalid."""
        if token != self._token:
            self._token = token
            self._token_number += 1

    def authorize(self, token: bytes | None) -> int:
        """Return the authorization that ``token`` gives; 0 if the token is missing or wrong."""
        return self._token_number if token_matches(token, self._token) else 0

    def is_authorized(self, authorization: int) -> bool:
        """Return True if the authorization is still valid, or if the relay has no token."""
        return not self._token or authorization == self._token_number

    def check_new_code(
        self, authorization: int, waiting: int, *, reopened: bool = False
    ) -> Refusal | None:
        """Return the refusal if a client may not start a new pair, otherwise None.

        ``waiting`` is the number of other codes with a waiting side. ``reopened`` is True if the
        code was in use when the request arrived, but is free now.
        """
        if not self.is_authorized(authorization):
            return Refusal(Reason.NO_AUTHORIZED_HOST if reopened else Reason.TOKEN_REQUIRED)
        return Refusal(Reason.TOO_MANY_WAITING) if 0 < self._max_waiting <= waiting else None

    def check_join(self, authorization: int, host: int) -> Refusal | None:
        """Return the refusal if a client may not join a waiting side, otherwise None.

        The client or the waiting side must be authorized. ``authorization`` is the result of
        `authorize` for the client, and ``host`` is the result for the waiting side.
        """
        allowed = self.is_authorized(authorization) or self.is_authorized(host)
        return None if allowed else Refusal(Reason.NO_AUTHORIZED_HOST)


def token_matches(given: bytes | None, expected: bytes) -> bool:
    """Return True if ``given`` equals ``expected``. A missing or empty token never matches.

    The comparison time depends on the lengths of the tokens, not on their bytes.
    """
    return hmac.compare_digest(given, expected) if given else False
