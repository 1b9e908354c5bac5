"""Close frames that docs/protocol.md allows for a side, given the history of its pair. Pure."""

from __future__ import annotations

from typing import Final

from .history import ClientHistory, Close, History
from .plan import SILENT

PEER_LEFT: Final = (1000, "peer disconnected")
PEER_FAILED: Final = (1011, "peer disconnected")
EXPIRED: Final = (1001, "pair expired")
STOPPING: Final = (1001, "relay stopping")
OVER_TIME: Final = (1008, "pair lasted too long")
OVER_BYTES: Final = (1008, "pair sent too much")
TIMEOUTS: Final = {
    (1011, "keepalive timeout"),
    (1011, "stall timeout"),
    (1011, "takeover timeout"),
}

ROUNDING: Final = 1e-6
"""Seconds by which sums of times may differ."""

FRAME: Final = 10
"""Bytes of the largest header that the relay adds to a message in one frame."""

FAILURES: Final = {"reset", "vanish", "violate", "hang up"}
"""Ends of a client that may close its peer with 1011."""

STREAM_ENDS: Final = {"close", "half-close", "hang up"}
"""Ends of a client that may close its peer with 1000."""

ENDS_UNREAD: Final = {"reset", "vanish", "hang up"}
"""Ends of a client after which it reads no close frame."""


def is_unresponsive(client: ClientHistory) -> bool:
    """Return True if a client was silent for so long that the relay may end it."""
    return client.left == "vanish" or client.silent >= SILENT


def allowed_closes(history: History, client: ClientHistory) -> set[Close | None]:
    """Return the close frames that a side may get; None is the end of its stream without one."""
    pair, peer = history.pair_of(client.index), history.peer_of(client.index)
    allowed: set[Close | None] = set()
    if client.sent_close is not None:
        allowed.add(client.sent_close)
    if client.left in ENDS_UNREAD | {"half-close"} or is_unresponsive(client):
        allowed.add(None)
    if is_unresponsive(client):
        allowed |= TIMEOUTS
    if peer is not None:
        allowed |= closes_by_peer(peer) | closes_by_quota(history, client, peer)
    elif pair is not None:
        waited = client.closed_at - pair.opened_at + ROUNDING
        if waited >= history.plan.settings["pair_ttl"]:
            allowed.add(EXPIRED)
    if history.stopped_at is not None and (
        client.close is None or client.closed_at >= history.stopped_at
    ):
        allowed.add(STOPPING)
    return allowed


def closes_by_peer(peer: ClientHistory) -> set[Close | None]:
    """Return the close frames that a side may get because of its peer."""
    allowed: set[Close | None] = set()
    if peer.left in STREAM_ENDS:
        allowed.add(PEER_LEFT)
    if peer.left in FAILURES or is_unresponsive(peer):
        allowed.add(PEER_FAILED)
    return allowed


def closes_by_quota(
    history: History, client: ClientHistory, peer: ClientHistory
) -> set[Close | None]:
    """Return the close frames that a side may get because of the quota of its pair."""
    settings, pair = history.plan.settings, history.pair_of(client.index)
    allowed: set[Close | None] = set()
    begun = sum(message.size + FRAME for message in (*client.sent, *peer.sent))
    if 0 < settings.get("max_pair_bytes", 0) <= begun:
        allowed.add(OVER_BYTES)
    lasted = client.closed_at - (pair.joined_at or 0.0) + ROUNDING if pair else 0.0
    if 0 < settings.get("max_pair_seconds", 0.0) <= lasted:
        allowed.add(OVER_TIME)
    return allowed
