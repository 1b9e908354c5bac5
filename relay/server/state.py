"""State that the connections of one relay share, and the statistics of the relay."""

from __future__ import annotations

import logging
from enum import IntEnum
from typing import Protocol

import trio

from ..events import (
    Event,
    Observer,
    PairEnded,
    PairJoined,
    RelayStopping,
    SideWaiting,
    TextDropped,
)
from ..limits.admission import AdmissionControl
from ..limits.trusted_proxies import TrustedProxies
from ..outcomes import Outcome
from ..pairing.pair import Pair
from ..pairing.rendezvous import Rendezvous
from ..protocol.handshake import Handshake, PlainRequest, parse_handshake, without_body_for_head
from ..protocol.request import Request
from ..protocol.response import Response, health_response
from ..settings import RelaySettings
from ..transport.descriptor_limit import descriptor_limit
from ..transport.epoll_reader import EpollReader
from .accept import AcceptErrors
from .code_hash import CodeHash
from .statistics import Counters, OpenPair, RelayStatistics, traffic_of
from .test_page import load_test_page
from .token_file import read_token

logger = logging.getLogger("relay")


class Phase(IntEnum):
    """Phase of a relay. A relay enters the phases in this order, and may skip some."""

    RUNNING = 0
    DRAINING = 1
    """The relay will stop soon. It refuses new sides, or has stopped accepting connections."""
    STOPPING = 2
    """The relay closes every side, including sides that join later."""
    STOPPED = 3
    """The relay cancels every connection, including connections that are accepted later."""


class Cancellable(Protocol):
    """The part of a connection that `RelayState` uses."""

    def cancel(self) -> None:
        """End the connection, but let its closing handshake complete."""


class RelayState:
    """Codes in use, open connections, phase and counters of one relay.

    Raises OSError or ValueError with a message for the operator if the token file cannot be used.
    """

    def __init__(
        self,
        settings: RelaySettings,
        observer: Observer | None = None,
        reader: EpollReader | None = None,
    ) -> None:
        self.settings = settings
        self.epoll_reader = reader
        """Epoll reader of the sockets of pairs; None on a platform without epoll."""
        self.pairs = Rendezvous()
        self.connections: set[Cancellable] = set()
        """Open connections, including those in their closing handshake."""
        self.admission = AdmissionControl(
            max_connections=settings.max_connections,
            max_waiting=settings.max_waiting,
            max_connections_per_client=settings.max_connections_per_client,
            max_connects_per_minute=settings.max_connects_per_minute,
            descriptors=descriptor_limit(),
        )
        self.hash_code = CodeHash()
        self.proxies = TrustedProxies(settings.trusted_proxies)
        self.live_pairs: set[Pair] = set()
        """Pairs whose traffic is not yet part of the counters."""
        self.counters = Counters()
        self.accept_errors = AcceptErrors()
        self.phase = Phase.RUNNING
        self.stop_requested = trio.Event()
        self.close_listeners = False
        """True if the requested stop closes the listeners instead of refusing new sides."""
        self.ended = trio.Event()
        self._allowed_origins = frozenset(settings.allowed_origins)
        self._pages = load_test_page(settings) if settings.test_page else {}
        self._observer = observer
        self._changed = trio.Event()
        self.reload_token()

    def reload_token(self) -> bool:
        """Read the token file again. Return False if the settings name no token file.

        Raises OSError or ValueError if the file cannot be used. The old token then stays valid.
        """
        if not self.settings.token_file:
            return False
        self.admission.set_token(read_token(self.settings.token_file))
        return True

    def add(self, connection: Cancellable) -> None:
        """Register an accepted connection, and cancel it if the relay has already stopped."""
        self.connections.add(connection)
        self.counters.connections_accepted += 1
        if self.phase is Phase.STOPPED:
            connection.cancel()

    def remove(self, connection: Cancellable) -> None:
        """Remove a closed connection, and release its slot if it holds one."""
        self.connections.discard(connection)
        self.release(connection)

    def release(self, connection: Cancellable) -> None:
        """Release the slot of a connection, if it holds one."""
        self.admission.release(connection)
        self._changed.set()

    async def wait_for_release(self) -> None:
        """Wait until a connection releases its slot or is closed."""
        self._changed = trio.Event()
        await self._changed.wait()

    def request_stop(self, *, close_listeners: bool) -> None:
        """Ask the relay to stop. Only the first request has an effect."""
        if not self.stop_requested.is_set():
            self.close_listeners = close_listeners
            self.stop_requested.set()

    def enter(self, phase: Phase) -> None:
        """Enter a phase. Publish `RelayStopping` if the relay leaves `Phase.RUNNING`."""
        if self.phase is Phase.RUNNING:
            self.publish(RelayStopping(len(self.pairs), self.pairs.waiting))
        self.phase = phase

    @property
    def refuses_sides(self) -> bool:
        """True if the relay refuses every upgrade because it is stopping."""
        return self.phase is not Phase.RUNNING and not self.close_listeners

    def respond(self, request: Request) -> Handshake | Response:
        """Return the handshake of a valid upgrade request, or the response to any other request."""
        found = parse_handshake(
            request,
            strict_codes=self.settings.strict_codes,
            allowed_origins=self._allowed_origins,
            with_token=self.admission.needs_token,
            pages=self._pages,
        )
        if not isinstance(found, PlainRequest):
            return found
        full = found is PlainRequest.READY and self.admission.full
        draining = self.phase is not Phase.RUNNING
        response = health_response(len(self.pairs), draining=draining, full=full)
        return without_body_for_head(request, response)

    def publish(self, event: Event) -> None:
        """Count an event, and pass it to the observer, whose exceptions are only logged."""
        self.counters.on_event(event)
        if self._observer is not None:
            try:
                self._observer.on_event(event)
            except Exception as error:  # noqa: BLE001 - any code may be an observer
                logger.error("the observer failed: %s", type(error).__name__)  # noqa: TRY400

    def note_opened(self, pair: Pair) -> None:
        """Include the traffic of a new pair in the statistics, and publish that side A waits."""
        self.live_pairs.add(pair)
        self.publish(SideWaiting(self.hash_code(pair.code), pair.a.client))

    def note_joined(self, pair: Pair) -> None:
        """Publish that side B joined."""
        wait_time = (pair.joined or trio.current_time()) - pair.since
        self.publish(PairJoined(self.hash_code(pair.code), wait_time, pair.clients[1]))

    def report_text(self, pair: Pair) -> None:
        """Publish `TextDropped` if text of the pair was dropped; do so at most once per pair."""
        if not pair.text_reported and (sender := pair.text_sender):
            pair.text_reported = True
            self.publish(TextDropped(self.hash_code(pair.code), sender))

    def note_ended(self, pair: Pair) -> None:
        """Publish the outcome of a pair, and move the pair's traffic to the counters."""
        self.report_text(pair)
        pair.text_reported = True  # do not report text that arrives in the closing handshake
        self.live_pairs.discard(pair)
        now = trio.current_time()
        joined = now if pair.joined is None else pair.joined
        a, b = pair.a, pair.b
        self.publish(
            PairEnded(
                pair=self.hash_code(pair.code),
                outcome=pair.outcome or Outcome.BROKEN,
                joined=b is not None,
                wait_time=joined - pair.since,
                duration=now - joined,
                blocked_time=(
                    b.transport.seconds_blocked if b else 0.0,
                    a.transport.seconds_blocked,
                ),
                clients=pair.clients,
                **traffic_of(pair)._asdict(),
            )
        )

    def statistics(self) -> RelayStatistics:
        """Return a snapshot of the state and the counters."""
        return RelayStatistics(
            pairs=len(self.pairs),
            waiting=self.pairs.waiting,
            connections=len(self.connections),
            admitted=len(self.admission.slots),
            accepts_failed=self.accept_errors.count,
            draining=self.phase is not Phase.RUNNING,
            **self.counters.snapshot(self.live_pairs),
        )

    def open_pairs(self, now: float) -> list[OpenPair]:
        """Return a snapshot of each open pair."""
        return [
            OpenPair(
                pair=self.hash_code(pair.code),
                joined=pair.b is not None,
                age=now - pair.since,
                bytes=traffic_of(pair).bytes,
                clients=pair.clients,
            )
            for pair in self.pairs
        ]
