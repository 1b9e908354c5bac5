"""State that the connections of one relay share, and its statistics."""

from __future__ import annotations

import hashlib
import logging
import secrets
from typing import NamedTuple

import trio

from ..events import Event, Observer, Outcome, PairEnded, PairJoined, RelayStopping
from ..limits.admission import AdmissionControl
from ..pairing.pump import end_pair
from ..pairing.rendezvous import Pair, Rendezvous
from ..pairing.side import Side
from ..protocol.frames import BINARY, TEXT
from ..protocol.handshake import Handshake, PlainRequest, parse_handshake, without_body_for_head
from ..protocol.request import Request
from ..protocol.response import Response, health_response
from ..settings import RelaySettings
from ..statistics import Counters, OpenPair, RelayStatistics, plus
from ..transport.epoll_reader import EpollReader

__all__ = ["RelayState"]

logger = logging.getLogger("relay")


class RelayState:
    """Codes in use, open connections and counters of one relay."""

    def __init__(self, settings: RelaySettings, observer: Observer | None = None) -> None:
        self.settings = settings
        self.pairs: Rendezvous[Side] = Rendezvous()
        self.connections: set[trio.CancelScope] = set()
        """Scope of each open connection; the closing handshake runs outside it."""
        self.admission = AdmissionControl(settings)
        self.epoll_reader: EpollReader | None = None
        """Epoll reader of the sockets of pairs; None until the relay runs, or without epoll."""
        self.live_pairs: set[Pair[Side]] = set()
        """Pairs whose traffic is not yet part of the counters."""
        self.takeover_checks: dict[Pair[Side], trio.Event] = {}
        """Pairs with a takeover check in progress, each with the event of its end."""
        self.counters = Counters()
        self.draining = False
        """True once the relay has begun to stop."""
        self.stopping = False
        """True once every side is being closed, including sides that join later."""
        self.dropped = False
        """True once every connection is cancelled, including connections accepted later."""
        self._allowed_origins = frozenset(settings.allowed_origins)
        self._observer = observer
        self._key = secrets.token_bytes(16)
        self._changed = trio.Event()

    def open_scope(self) -> trio.CancelScope:
        """Register a new connection and return its scope."""
        scope = trio.CancelScope()
        self.connections.add(scope)
        self.counters.connections_accepted += 1
        if self.dropped:
            scope.cancel()
        return scope

    def close_scope(self, scope: trio.CancelScope) -> None:
        """Remove a connection that is closed."""
        self.connections.discard(scope)
        self.leave(scope)

    def leave(self, scope: trio.CancelScope) -> None:
        """Release the slot of a connection, if it holds one."""
        self.admission.release(scope)
        self._changed.set()

    def drain(self, *, refusing: bool) -> None:
        """Begin to stop: report draining and, if ``refusing``, refuse new sides.

        Further calls have no effect.
        """
        if not self.draining:
            self.draining = True
            self.admission.closed = refusing
            self.publish(RelayStopping(len(self.pairs), self.pairs.waiting))

    async def stop_waiting(self) -> None:
        """Close the sides that wait for a peer; return once their pairs have released them."""
        self.stopping = True
        waiting = [pair for pair in self.pairs if pair.b is None]
        for pair in waiting:
            self.stop_pair(pair)
        for pair in waiting:
            await pair.a.released.wait()

    def stop(self) -> None:
        """Close every side and free every code."""
        self.stopping = True
        for pair in self.pairs:
            self.stop_pair(pair)

    def stop_pair(self, pair: Pair[Side]) -> None:
        """Close both sides and free the code.

        A client that arrives now with the code opens a new pair instead of getting 409.
        """
        self.pairs.end(pair)
        end_pair(pair, Outcome.STOPPED)

    async def wait_left(self, *, doors: bool) -> None:
        """Wait until every slot is free.

        If ``doors`` is True, wait also for the connections that hold no slot, such as those that
        have not completed their handshake.
        """
        while self.admission.slots or (doors and self.connections):
            self._changed = trio.Event()
            await self._changed.wait()

    def drop(self) -> None:
        """Cancel every open connection, and every connection accepted from now on."""
        self.dropped = True
        for scope in self.connections:
            scope.cancel()

    def respond(self, request: Request) -> Handshake | Response:
        """Return the handshake of an upgrade request, or the response to any other request."""
        judged = parse_handshake(
            request,
            strict_codes=self.settings.strict_codes,
            allowed_origins=self._allowed_origins,
            with_token=self.admission.needs_token,
        )
        if not isinstance(judged, PlainRequest):
            return judged
        full = judged is PlainRequest.READY and self.admission.full
        response = health_response(len(self.pairs), draining=self.draining, full=full)
        return without_body_for_head(request, response)

    def publish(self, event: Event) -> None:
        """Count an event and pass it to the observer, whose exceptions are only logged."""
        self.counters.on_event(event)
        if self._observer is not None:
            try:
                self._observer.on_event(event)
            except Exception as error:  # noqa: BLE001 - the observer is foreign code
                logger.error("the observer failed: %s", type(error).__name__)  # noqa: TRY400

    def note_joined(self, pair: Pair[Side], now: float) -> None:
        """Publish that side B joined."""
        self.publish(PairJoined(self.pair_id(pair.code), now - pair.since))

    def note_ended(self, pair: Pair[Side], now: float) -> None:
        """Publish the outcome of a pair and move its traffic to the counters."""
        self.live_pairs.discard(pair)
        joined = now if pair.joined is None else pair.joined
        a, b, each = pair.a, pair.b, traffic(pair)
        self.publish(
            PairEnded(
                pair=self.pair_id(pair.code),
                outcome=pair.outcome or Outcome.BROKEN,
                joined=b is not None,
                wait_time=joined - pair.since,
                duration=now - joined,
                bytes=each.bytes,
                messages=each.messages,
                text_messages_dropped=each.text_messages_dropped,
                blocked_time=(
                    b.transport.seconds_blocked if b else 0.0,
                    a.transport.seconds_blocked,
                ),
                clients=(a.client, b.client if b else ""),
            )
        )

    def pair_id(self, code: str) -> str:
        """Return the public name of a code: a keyed hash, the same until this relay ends."""
        return hashlib.blake2s(code.encode(), key=self._key, digest_size=4).hexdigest()

    def statistics(self) -> RelayStatistics:
        """Return a snapshot of the state and the counters."""
        tally = self.counters
        moved, messages, texts = tally.bytes, tally.messages, tally.text_messages_dropped
        for pair in self.live_pairs:
            each = traffic(pair)
            moved = plus(moved, each.bytes)
            messages = plus(messages, each.messages)
            texts = plus(texts, each.text_messages_dropped)
        return RelayStatistics(
            pairs=len(self.pairs),
            waiting=self.pairs.waiting,
            connections=len(self.connections),
            draining=self.draining,
            connections_accepted=tally.connections_accepted,
            requests_refused=dict(tally.requests_refused),
            pairs_ended=dict(tally.pairs_ended),
            bytes=moved,
            messages=messages,
            text_messages_dropped=texts,
            takeover_checks=tally.takeover_checks,
            evictions=tally.evictions,
            tls_handshakes_failed=dict(tally.tls_handshakes_failed),
        )

    def open_pairs(self, now: float) -> list[OpenPair]:
        """Return a snapshot of each open pair."""
        return [
            OpenPair(
                pair=self.pair_id(pair.code),
                joined=pair.b is not None,
                age=now - pair.since,
                bytes=traffic(pair).bytes,
                clients=(pair.a.client, pair.b.client if pair.b else ""),
            )
            for pair in self.pairs
        ]


class Traffic(NamedTuple):
    """Forwarded and dropped traffic of a pair, as (side A, side B) counters."""

    bytes: tuple[int, int]
    messages: tuple[int, int]
    text_messages_dropped: tuple[int, int]


def traffic(pair: Pair[Side]) -> Traffic:
    """Return the traffic of a pair; early data that waits for side B does not count yet."""
    a, b = pair.a, pair.b
    if b is None:
        return Traffic((0, 0), (0, 0), (a.reframer.message_counts[TEXT], 0))
    return Traffic(
        bytes=(a.passed_on, b.passed_on),
        messages=(a.reframer.message_counts[BINARY], b.reframer.message_counts[BINARY]),
        text_messages_dropped=(a.reframer.message_counts[TEXT], b.reframer.message_counts[TEXT]),
    )
