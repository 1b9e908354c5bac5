"""How much one client may ask for: connections at a time, and attempts by the minute.

Pure: time is an argument, in seconds of the caller's clock, and a client is any text.

What is kept is bounded. A count of connections is there as long as they are. Of attempts a client
has one number, the time at which its allowance is whole again, which is a minute off at most; it
is forgotten after that. There are never more than `MAX_CLIENTS` of these: past that, the client
that was let in longest ago is forgotten early, and so begins afresh. This cannot be used to get
around the limit unless one can come from more than `MAX_CLIENTS` addresses within a minute, which
is over 1,000 connections a second. Each operation but `ClientLimits.prune` takes constant time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from ..protocol.response import RETRY_AFTER

__all__ = ["MAX_CLIENTS", "ClientLimits", "Refusal"]

MAX_CLIENTS: Final = 2**16
"""Clients whose attempts are remembered; so many of them take 11 MiB."""

MINUTE: Final = 60.0
ROUNDING: Final = 1e-6
"""Seconds that adding up fractions of a minute may be off by."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a client is not let in, and in how many seconds it may try again."""

    why: str
    retry_after: float


class ClientLimits:
    """Counts clients; a limit that is 0 is off.

    A client has an allowance of ``max_connects_per_minute`` attempts, which refills evenly: so many
    at once, and so many in each minute from then on. An attempt that finds none left costs nothing,
    so that the time it is told is true; one that fails because of ``max_connections_per_client``
    does cost one.
    """

    __slots__ = ("_connections", "_full_at", "_interval", "_max_per_client")

    def __init__(
        self, max_connections_per_client: int = 0, max_connects_per_minute: int = 0
    ) -> None:
        self._max_per_client = max_connections_per_client
        self._interval = MINUTE / max_connects_per_minute if max_connects_per_minute else 0.0
        self._connections: dict[str, int] = {}
        # When each allowance is whole again; the client that was let in last is the last.
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """Return how many numbers are kept."""
        return len(self._connections) + len(self._full_at)

    def acquire(self, client: str, now: float) -> Refusal | None:
        """Count a new connection of a client and return None, or return why it may not be.

        What is admitted must `leave`; what is refused must not.
        """
        if self._interval:
            wait = self._attempt(client, now)
            if wait > 0:
                return Refusal("too many attempts from this client", wait)
        if self._max_per_client:
            connections = self._connections.get(client, 0)
            if connections >= self._max_per_client:
                return Refusal("too many connections from this client", RETRY_AFTER)
            self._connections[client] = connections + 1
        return None

    def release(self, client: str) -> None:
        """Note the end of a connection that was admitted."""
        if self._max_per_client:
            self._connections[client] -= 1
            if not self._connections[client]:
                del self._connections[client]

    def prune(self, now: float) -> None:
        """Drop what is not needed any more; to be called now and then if nobody comes."""
        while self._prune_first(now):
            pass

    def _attempt(self, client: str, now: float) -> float:
        """Take one attempt from a client's allowance, or return the seconds until there is one."""
        whole_at = max(self._full_at.get(client, now), now) + self._interval
        wait = whole_at - MINUTE - now
        if wait > ROUNDING:
            return wait - ROUNDING / 2
        self._full_at[client] = whole_at
        self._full_at.move_to_end(client)
        # One comes, up to two go: so the table shrinks again after a flood, in small steps.
        self._prune_first(now)
        self._prune_first(now)
        if len(self._full_at) > MAX_CLIENTS:
            self._full_at.popitem(last=False)
        return 0.0

    def _prune_first(self, now: float) -> bool:
        """Drop the client that was let in longest ago, if its allowance is whole again."""
        client = next(iter(self._full_at), None)
        if client is None or self._full_at[client] > now:
            return False
        del self._full_at[client]
        return True
