"""Limits per client: open connections, and connection attempts per minute.

Pure: the caller passes the time, in seconds of its own clock, and any text that names the client.

Memory is bounded. A connection count is kept only while the client has connections. A token bucket
is stored as one number: the time at which the bucket will be full again, at most a minute ahead. A
full bucket is dropped. If there are more than `MAX_CLIENTS` buckets, the bucket that has given no
token for the longest time is dropped early, and its client starts again with a full bucket. To
bypass the limit in this way, an attacker needs more than `MAX_CLIENTS` addresses within a minute,
and so over 1,000 connections a second. Each operation except `ClientLimits.prune` takes constant
time.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from .reason import Reason, Refusal

MAX_CLIENTS: Final = 2**16
"""Maximum number of clients with a token bucket. That many buckets take 11 MiB of memory."""

MINUTE: Final = 60.0
ROUNDING: Final = 1e-6
"""Tolerance, in seconds, for rounding errors when fractions of a minute are added."""


class ClientLimits:
    """Connection counts and token buckets per client. A limit of 0 means no limit.

    A client has a bucket of ``max_connects_per_minute`` tokens that refills evenly within a minute.
    Each attempt takes one token, even if the attempt exceeds ``max_connections_per_client``. If the
    bucket is empty, the attempt is refused and takes nothing from the bucket, so the retry time in
    the refusal stays valid.
    """

    __slots__ = ("_connections", "_full_at", "_interval", "_max_per_client")

    def __init__(
        self, max_connections_per_client: int = 0, max_connects_per_minute: int = 0
    ) -> None:
        self._max_per_client = max_connections_per_client
        self._interval = MINUTE / max_connects_per_minute if max_connects_per_minute else 0.0
        self._connections: dict[str, int] = {}
        # Time at which each bucket is full again; the bucket that last gave a token is at the end.
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of connection counts and token buckets in memory."""
        return len(self._connections) + len(self._full_at)

    def acquire(self, client: str, now: float) -> Refusal | None:
        """Count a new connection of a client and return None; at a limit, return the refusal.

        The caller must call `release` once for each admitted connection, but not for a refused one.
        """
        if self._interval:
            wait = self._attempt(client, now)
            if wait > 0:
                return Refusal(Reason.TOO_MANY_ATTEMPTS, wait)
        if self._max_per_client:
            connections = self._connections.get(client, 0)
            if connections >= self._max_per_client:
                return Refusal(Reason.TOO_MANY_CONNECTIONS)
            self._connections[client] = connections + 1
        return None

    def release(self, client: str) -> None:
        """Subtract a closed connection from the count of its client."""
        if self._max_per_client:
            self._connections[client] -= 1
            if not self._connections[client]:
                del self._connections[client]

    def prune(self, now: float) -> None:
        """Drop full buckets, beginning with the oldest, until the oldest bucket is not full.

        The caller must prune at intervals. Otherwise, buckets are dropped only when a connection
        arrives, and an idle relay keeps them.
        """
        while self._prune_first(now):
            pass

    def _attempt(self, client: str, now: float) -> float:
        """Take a token from a client's bucket; return 0, or the seconds to wait for a token."""
        full_at = max(self._full_at.get(client, now), now) + self._interval
        wait = full_at - MINUTE - now
        if wait > ROUNDING:
            return wait - ROUNDING / 2
        self._full_at[client] = full_at
        self._full_at.move_to_end(client)
        # Each attempt adds at most one bucket and drops up to two, so the table shrinks gradually.
        self._prune_first(now)
        self._prune_first(now)
        if len(self._full_at) > MAX_CLIENTS:
            self._full_at.popitem(last=False)
        return 0.0

    def _prune_first(self, now: float) -> bool:
        """Drop the oldest bucket if it is full; return True if it was dropped."""
        client = next(iter(self._full_at), None)
        if client is None or self._full_at[client] > now:
            return False
        del self._full_at[client]
        return True
