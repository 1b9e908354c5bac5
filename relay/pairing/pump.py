"""Run a joined pair: two pumps in one nursery. Each pump forwards one direction.

A pump reads from one side, its source. When the source departs, the pump cancels the nursery, which
also ends the other pump.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable

import trio

from ..outcomes import Outcome
from ..settings import RelaySettings
from .pair import Pair
from .ping_replies import answer_pings
from .side import Side


async def run_pair(pair: Pair, a: Side, b: Side, settings: RelaySettings) -> None:
    """Forward both directions until a side departs or a quota is reached, then end both sides.

    All frames of the side that departs are forwarded first, unless a write to its peer fails.
    The task of each side does the closing handshake. Cancellation stops the pumps.
    """
    over_at = math.inf
    async with trio.open_nursery() as nursery:
        pair.pumps = nursery.cancel_scope
        if settings.max_pair_seconds:
            over_at = pair.pumps.deadline = trio.current_time() + settings.max_pair_seconds
        for source, sink in ((a, b), (b, a)):
            nursery.start_soon(Pump(pair, source, sink, nursery.cancel_scope, settings).run)
    pair.pumps = None
    for side in (a, b):
        if side.departed is not None:
            pair.end(side.departed, side)
    if over_at < math.inf and trio.current_time() >= over_at:
        pair.end(Outcome.OVER_TIME)


class Pump:
    """Forwarder of one direction, from ``source`` to ``sink``.

    A failed write to the sink does not end the pump at once, because the other pump must still
    forward the data that the sink has sent, up to its close frame or the end of its stream. After
    the failure, both pumps run for at most ``close_timeout``.
    """

    __slots__ = ("_limited", "_pair", "_scope", "_sent", "_settings", "_sink", "_source")

    def __init__(
        self,
        pair: Pair,
        source: Side,
        sink: Side,
        scope: trio.CancelScope,
        settings: RelaySettings,
    ) -> None:
        self._pair = pair
        self._source = source
        self._sink = sink
        self._scope = scope
        self._settings = settings
        self._limited = bool(settings.max_bytes_per_second or settings.max_pair_bytes)
        self._sent = True

    async def run(self) -> None:
        """Forward frames until the source departs, then cancel the nursery of both pumps.

        The task wakes up only to wait for a slow sink, to apply a limit, or after the source has
        departed. The epoll reader calls `forward` for each read.
        """
        source, transport = self._source, self._sink.transport
        if source is self._pair.a and (held := self._pair.early_data.take()):
            await self._finish(transport.send_all(held))
        while True:
            if not self._sent:
                await self._finish(transport.flush())
            if self._limited:
                await self._keep_to_limits()
            if source.departed is not None:
                break
            self._sent = True
            await source.receive(self.forward)
        self._scope.cancel()

    def forward(self, data: bytes) -> bool:
        """Forward the bytes of one read. Return True if the task of the pump must wake up."""
        source = self._source
        frames, control = source.parse(data)
        if control:
            answer_pings(source.transport, control)
        if frames:
            try:
                self._sent = self._sink.transport.try_send(frames)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._give_up_soon()
        return not self._sent or source.departed is not None or self._limited

    async def _finish(self, write: Awaitable[None]) -> None:
        """Wait for a write to the sink. If it fails, both pumps end within ``close_timeout``."""
        try:
            await write
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._give_up_soon()

    async def _keep_to_limits(self) -> None:
        """End the pair if its byte quota is reached. Wait until the rate limit permits a read."""
        passed_on = self._source.passed_on + self._sink.passed_on
        if 0 < self._settings.max_pair_bytes <= passed_on:
            self._pair.end(Outcome.OVER_BYTES)
        await self._source.wait_for_rate_limit()

    def _give_up_soon(self) -> None:
        give_up_at = trio.current_time() + self._settings.close_timeout
        self._scope.deadline = min(self._scope.deadline, give_up_at)
