"""Admit connections within the limits of the relay, and check the token.

Pure: time is an argument, in seconds of the caller's clock, and a connection is any object.
"""

from __future__ import annotations

import hmac
from typing import Final

from .client_address import rate_limit_key
from .per_client import ClientLimits
from .refusal import Reason, Refusal

CLIENT_SHARE: Final = 0.9
"""Default share of the descriptor limit for connections.

The rest is for the relay itself, and for connections without a slot: handshakes and refusals.
"""


class AdmissionControl:
    """Admission control of one relay: slots, limits per client, and the token.

    The limits are the settings of the same name; 0 is no limit. The default of ``max_connections``
    depends on ``descriptors``, the descriptor limit of the process.
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
        """Limits per client."""
        self._token = b""
        self._token_number = 0

    @property
    def full(self) -> bool:
        """True if `max_connections` is reached."""
        return 0 < self.max_connections <= len(self.slots)

    def admit(self, connection: object, client: str, now: float) -> Refusal | None:
        """Give a connection a slot until `release` and return None, or return the refusal.

        The check depends on the client address and the state of the relay, not on the request.
        """
        if self.full:
            return Refusal(Reason.RELAY_IS_FULL)
        key = rate_limit_key(client) if self._limits_clients else ""
        refusal = self.client_limits.acquire(key, now)
        if refusal is None:
            self.slots[connection] = key
        return refusal

    def release(self, connection: object) -> None:
        """Release the slot of a connection, if it was admitted."""
        if (key := self.slots.pop(connection, None)) is not None:
            self.client_limits.release(key)

    @property
    def needs_token(self) -> bool:
        """True if a client needs a token to open a new code."""
        return bool(self._token)

    def set_token(self, token: bytes) -> None:
        """Set the token in force. A new token revokes all authorizations."""
        if token != self._token:
            self._token = token
            self._token_number += 1

    def authorize(self, token: bytes | None) -> int:
        """Return the authorization of a client that shows this token; 0 if it is another token."""
        return self._token_number if token_matches(token, self._token) else 0

    def is_authorized(self, authorization: int) -> bool:
        """Return True if the authorization is for the token in force, or the relay has no token."""
        return not self._token or authorization == self._token_number

    def check_new_code(
        self, authorization: int, waiting: int, *, reopened: bool = False
    ) -> Refusal | None:
        """Return the refusal of a client that would open a new code, or None.

        ``waiting`` is the number of other codes with a waiting side. ``reopened`` is true if the
        code was in use when the request arrived.
        """
        if not self.is_authorized(authorization):
            return Refusal(Reason.NO_AUTHORIZED_HOST if reopened else Reason.TOKEN_REQUIRED)
        return Refusal(Reason.TOO_MANY_WAITING) if 0 < self._max_waiting <= waiting else None

    def check_join(self, authorization: int, host: int) -> Refusal | None:
        """Return the refusal of a client that would join a waiting side, or None.

        The client or the waiting side must be authorized. ``host`` is the authorization of the
        waiting side.
        """
        allowed = self.is_authorized(authorization) or self.is_authorized(host)
        return None if allowed else Refusal(Reason.NO_AUTHORIZED_HOST)


def token_matches(given: bytes | None, expected: bytes) -> bool:
    """Return True if the given token is the expected one. An empty given token never matches.

    The comparison time depends on the lengths of the tokens, not on their bytes.
    """
    return hmac.compare_digest(given, expected) if given else False
