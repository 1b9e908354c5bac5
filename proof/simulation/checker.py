"""Decide whether the history of a run keeps the promises of docs/protocol.md. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .closes import ENDS_UNREAD, PEER_LEFT, STOPPING, allowed_closes
from .history import ClientHistory, History
from .plan import payload

WHOLE: Final = 64 * 1024
"""Size in bytes up to which a message arrives in one frame."""

HELD_WAITING: Final = 82 * 1024
"""Maximum that the relay holds of a waiting side: 64 KiB, a small read, the read of the head."""

HELD_JOINED: Final = 192 * 1024
"""Maximum that the relay holds of a direction: a read of 127 KiB and 64 KiB of a message."""

LARGE: Final = 2**18
"""Size in bytes from which a message may take seconds on a slow line."""

PROMPT: Final = 1.5
"""Seconds in which clients that read, some of them slowly, complete their closing handshakes."""

TOLERANCE: Final = 0.5
"""Seconds that an end may take longer than its timeouts."""

Limits = dict[tuple[int, str], str]
REFUSALS: Final[Limits] = {
    (503, "too many waiting sides"): "max_waiting",
    (503, "relay is full"): "max_connections",
    (429, "too many attempts from this client"): "max_connects_per_minute",
    (429, "too many connections from this client"): "max_connections_per_client",
}
"""Refusals that only happen with a limit, and the setting of the limit."""


def is_responsive(client: ClientHistory) -> bool:
    """Return True if a client answers promptly until the relay ends its stream.

    A client answers a close frame only after the message that it is sending.
    """
    short = all(message.size < LARGE for message in client.sent)
    return client.left in {"", "close", "violate"} and not client.silent and short


def check(history: History) -> list[str]:
    """Return the broken promises of a run, one line each."""
    faults = [*history.left_over, *check_stop(history), *check_pairs(history)]
    for client in history.clients.values():
        found = [*client.errors, *check_response(history, client)]
        if client.status == 101:
            found += check_messages(history, client)
            found += check_close(history, client)
            found += check_pongs(client)
            found += check_memory(history, client)
        faults += [f"client {client.index}: {fault}" for fault in found]
    return faults


def check_stop(history: History) -> Iterator[str]:
    """Check that the relay ended in bounded time after the request to stop."""
    if history.stopped_at is None:
        return
    if history.ended_at is None:
        yield "the relay did not end"
        return
    settings = history.plan.settings
    bound = settings.get("drain_delay", 0.0) + TOLERANCE + history.plan.slack
    if all(is_responsive(client) for client in history.clients.values()):
        bound += PROMPT
    else:  # one timeout for the graceful stop, one for the sides that it could not close
        bound += 2 * settings["close_timeout"]
    if history.ended_at - history.stopped_at > bound:
        yield f"the relay ended {history.ended_at - history.stopped_at:.1f} s after the stop"


def check_pairs(history: History) -> Iterator[str]:
    """Check that pairs have two sides of one code at most, and that a code has one pair at a time.

    A pair may finish up to ``close_timeout`` after its code was freed.
    """
    grace = history.plan.settings["close_timeout"] + TOLERANCE + history.plan.slack
    for pair in history.pairs:
        codes = {history.clients[side].code for side in pair.sides}
        if len(pair.sides) > 2 or codes != {pair.code}:
            yield f"a pair has the sides {pair.sides} with {sorted(codes)}"
        for other in history.pairs:
            if other.code == pair.code and other.opened_at < pair.opened_at:
                ended = history.ended_at if other.ended_at is None else other.ended_at
                if ended is not None and ended > pair.opened_at + grace:
                    yield f"{pair.code} had two pairs at once: {other.sides} and {pair.sides}"


def check_response(history: History, client: ClientHistory) -> Iterator[str]:
    """Check that a client got a response, and that its refusal had a reason."""
    stopped_at = history.stopped_at
    if client.started_at is None or client.status == 101:
        return
    refusal = client.status, client.reason
    if not client.status:
        if stopped_at is None or client.responded_at < stopped_at:
            yield "no response"
    elif refusal == (409, "pair is full"):
        if not any(
            pair.code == client.code
            and len(pair.sides) == 2
            and (pair.joined_at or 0.0) <= client.responded_at
            and (pair.ended_at is None or pair.ended_at >= client.started_at)
            for pair in history.pairs
        ):
            yield "409 for a code without a joined pair"
    elif refusal == (503, "relay is stopping"):
        if stopped_at is None:
            yield "503 without a stop"
    elif stopped_at is not None and client.ended_at >= stopped_at:
        return  # the stop may cut off a response
    elif not history.plan.settings.get(REFUSALS.get(refusal, "")):
        yield f"refused with {refusal}"


def check_messages(history: History, client: ClientHistory) -> Iterator[str]:
    """Check that a client received its peer's messages: a prefix, and all that was promised."""
    peer, received = history.peer_of(client.index), client.received
    sent = peer.sent if peer else []
    for number, (size, found, frames) in enumerate(received):
        if number >= len(sent) or (size, found) != (sent[number].size, sent[number].digest):
            yield f"message {number} of {size} bytes is not that of the peer"
            return
        if size <= WHOLE and frames != 1:
            yield f"message {number} of {size} bytes arrived in {frames} frames"
        if sent[number].cut_off:
            yield f"message {number} is complete, although its sender cut it off"
    if client.part and not is_part(client.part, peer, len(received)):
        yield f"the part of message {len(received)} is not that of the peer"
    due = count_due(client, peer)
    if len(received) < due:
        yield f"{client.close} after {len(received)} of {due} messages"


def is_part(part: bytes, peer: ClientHistory | None, number: int) -> bool:
    """Return True if a part that was received begins a long message of the peer."""
    if peer is None or number >= len(peer.sent):
        return False
    size = peer.sent[number].size
    return size > WHOLE and payload(peer.index, number, size).startswith(part)


def count_due(client: ClientHistory, peer: ClientHistory | None) -> int:
    """Return the number of messages that must have arrived before the close frame of a client."""
    if peer is None:
        return 0
    if client.close == PEER_LEFT:
        return sum(message.complete for message in peer.sent)
    if client.close == STOPPING and peer.read_at_stop is not None:
        return sum(message.complete and message.end <= peer.read_at_stop for message in peer.sent)
    return 0


def check_close(history: History, client: ClientHistory) -> Iterator[str]:
    """Check that the close frame of a side, or its absence, has a cause."""
    if client.left in ENDS_UNREAD and client.close is None:
        return
    if client.close not in allowed_closes(history, client):
        yield f"closed with {client.close}, allowed are {allowed_closes(history, client)}"
    elif client.ended != "eof" and client.close is None and client.left != "half-close":
        yield f"the stream is {client.ended or 'open'} without a close frame"
    elif client.ended != "eof" and is_responsive(client) and in_time(history, client):
        yield f"the stream is {client.ended or 'open'} after the close frame"


def in_time(history: History, client: ClientHistory) -> bool:
    """Return True if the stream of a client ended long before ``close_timeout``."""
    close_timeout: float = history.plan.settings["close_timeout"]
    return client.ended_at - client.closed_at < close_timeout / 2


def check_pongs(client: ClientHistory) -> Iterator[str]:
    """Check that the pongs answer pings, in their order."""
    pings = iter(client.pings)
    if not all(pong in pings for pong in client.pongs):
        yield f"pongs {client.pongs} for the pings {client.pings}"


def check_memory(history: History, client: ClientHistory) -> Iterator[str]:
    """Check that the relay never held more of a direction than it promises."""
    bound = HELD_JOINED if history.peer_of(client.index) else HELD_WAITING
    if client.peak_held > bound:
        yield f"the relay held {client.peak_held} bytes"
