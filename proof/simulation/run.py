"""Run a plan against `serve_relay`, and return the history of the run."""

from __future__ import annotations

import logging
import math
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from typing import Final
from unittest.mock import patch

import trio
import trio.testing

from relay import Event, PairEnded, RelayHandle, RelaySettings, serve_relay
from relay.pairing.pair import Pair
from relay.pairing.rendezvous import Rendezvous
from relay.pairing.side import Side

from .client import ClientActor
from .history import ClientHistory, History, PairHistory
from .network import MemoryNetwork, Network
from .plan import LATE, ClientPlan, Plan
from .replay import replayable

IDLE_AFTER: Final = 20.0
"""Seconds after the last client in which a relay with keepalive must have become empty."""

LIMIT: Final = 300.0
"""Seconds after which a run is given up."""


def run(plan: Plan) -> History:
    """Run a plan in memory and in virtual time; return its history, the same for the same plan."""
    return replayable(partial(run_in_memory, plan))


def run_in_memory(plan: Plan) -> History:
    """Run a plan in memory; the order of the tasks is random unless the caller seeds it."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(run_on, plan, MemoryNetwork(plan.seed), clock=clock)


async def run_on(plan: Plan, network: Network) -> History:
    """Run a plan on a network."""
    simulation, logger = Simulation(plan, network), logging.getLogger("relay")
    handler = ErrorLog(simulation.history.left_over)
    logger.addHandler(handler)
    try:
        await simulation.run()
    finally:
        logger.removeHandler(handler)
    return simulation.history


class ErrorLog(logging.Handler):
    """Handler that adds the errors which the relay logs to what is left over."""

    def __init__(self, left_over: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._left_over = left_over

    def emit(self, record: logging.LogRecord) -> None:
        self._left_over.append(f"logged: {record.getMessage()}")


class Simulation:
    """One run: the relay, its clients, and the observation of both."""

    def __init__(self, plan: Plan, network: Network) -> None:
        self.history = History(plan)
        self._plan = plan
        self._network = network
        self._scope = trio.CancelScope()
        self._actors: dict[int, ClientActor] = {}
        self._pairs: dict[Pair, PairHistory] = {}
        self._busy = len(plan.clients)
        self._clients_left = trio.Event()
        self._start = trio.current_time()
        self._handle: RelayHandle
        self._hash = blake2b(digest_size=8)
        network.log, network.on_read = self._log, self._measure

    async def run(self) -> None:
        """Run the relay and its clients until both have ended."""
        with trio.move_on_after(LIMIT) as in_time, self._watch_joins():
            async with trio.open_nursery() as nursery:
                self._handle = await nursery.start(self._serve)
                for client in self._plan.clients:
                    nursery.start_soon(self._run_client, client)
                await self._stop()
        left_over, statistics = self.history.left_over, self._handle.statistics()
        if in_time.cancelled_caught:
            left_over.append(f"the run did not end in {LIMIT} s")
        for name in ("pairs", "waiting", "connections", "admitted"):
            if number := getattr(statistics, name):
                left_over.append(f"{name} after the end: {number}")
        if opened := self._network.left_open():
            left_over.append(f"streams of the clients {opened} after the end")
        self.history.trace_hash = self._hash.hexdigest()

    async def _serve(self, *, task_status: trio.TaskStatus[RelayHandle]) -> None:
        with self._scope:
            await serve_relay(
                listeners=self._network.listeners,
                settings=RelaySettings(**self._plan.settings),
                observer=self,
                task_status=task_status,
            )
        self.history.ended_at = trio.current_time()

    async def _stop(self) -> None:
        """Stop the relay at its time, or once all clients have left and the relay is empty."""
        with trio.move_on_at(self._start + self._plan.stop_at):
            await self._clients_left.wait()
            if self._plan.stop_at == LATE:
                await self._expect_empty()
        for index, client in self.history.clients.items():
            client.read_at_stop = self._network.bytes_read(index)
        self.history.stopped_at = trio.current_time()
        self._note("relay", self._plan.stop)
        if self._plan.stop == "cancel":
            self._scope.cancel()
        else:
            await self._handle.stop(close_listeners=self._plan.stop == "close listeners")

    async def _expect_empty(self) -> None:
        """Wait until the relay has no pair and no connection."""
        with trio.move_on_after(IDLE_AFTER):
            while True:
                left = self._handle.statistics()
                if not (left.pairs or left.waiting or left.connections or left.admitted):
                    return
                await trio.sleep(0.5)
        if self._plan.settings["ping_interval"]:
            self.history.left_over.append(f"tables {IDLE_AFTER} s after the last client")

    async def _run_client(self, plan: ClientPlan) -> None:
        """Connect a client at its time, and run it to its end."""
        history = self.history.clients[plan.index] = ClientHistory(plan.index, plan.code)
        note = partial(self._note, f"client {plan.index}")
        await trio.sleep(plan.start)
        note(f"connect with {plan.code}")
        try:
            connection = await self._network.connect(plan)
        except OSError as error:
            note(f"cannot connect: {error}")
        else:
            actor = self._actors[plan.index] = ClientActor(plan, history, connection, note)
            await actor.run()
        self._busy -= 1
        if not self._busy:
            self._clients_left.set()

    @contextmanager
    def _watch_joins(self) -> Iterator[None]:
        """Record the pair that each client joins, in the task of its connection."""
        join = Rendezvous.join

        def watched(table: Rendezvous, code: str, side: Side, now: float) -> Pair:
            pair, index = join(table, code, side, now), self._network.index_of(side)
            if pair not in self._pairs:
                self._pairs[pair] = PairHistory(code, [], now)
                self.history.pairs.append(self._pairs[pair])
            else:
                self._pairs[pair].joined_at = now
            self._pairs[pair].sides.append(index)
            self._note("relay", f"client {index} is in pair {len(self._pairs)}")
            return pair

        with patch.object(Rendezvous, "join", watched):
            yield

    def on_event(self, event: Event) -> None:
        """Record the end of a pair."""
        if isinstance(event, PairEnded):
            for pair, history in self._pairs.items():
                if pair.outcome is not None and history.ended_at is None:
                    history.ended_at, history.outcome = trio.current_time(), pair.outcome.label
                    self._note("relay", f"pair of the clients {history.sides} {history.outcome}")

    def _measure(self, index: int) -> None:
        """Measure the payload of a client that the relay has read, and not written to the peer."""
        history, peer = self.history.clients[index], self.history.peer_of(index)
        pair = self.history.pair_of(index)
        if pair is None or pair.ended_at is not None or history.left or (peer and peer.left):
            return
        ends, read = self._actors[index].payload_ends, self._network.bytes_read(index) or 0
        place = bisect_right(ends, (read, math.inf))
        held = ends[place - 1][1] if place else 0
        if peer is not None:
            held -= self._network.bytes_written(peer.index)
        history.peak_held = max(history.peak_held, held)

    def _note(self, who: str, what: str) -> None:
        line = f"{trio.current_time() - self._start:9.4f}  {who}: {what}"
        self.history.trace.append(line)
        self._hash.update(line.encode())

    def _log(self, operation: str, size: int) -> None:
        self._hash.update(f"{trio.current_time() - self._start:.6f} {operation} {size}".encode())
