"""A proxy with relays behind it, and the view of both from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

import trio

from .clients import Entry, Side, address, each
from .fleet import Fleet, Relay
from .proxy import Proxy

__all__ = ["World"]

BACK = 10.0
"""Maximum number of seconds until a new or restarted relay must get codes."""


@dataclass
class World:
    """Proxy, its relays, and its address for clients."""

    proxy: Proxy
    fleet: Fleet
    entry: Entry
    ports: list[int]
    """Remaining free ports, for relays."""
    network: int = 0
    random: Random = field(default_factory=partial(Random, 1))

    def codes(self, count: int) -> list[str]:
        """Return new codes."""
        return [f"{self.random.getrandbits(96):024x}" for _ in range(count)]

    def sources(self, count: int) -> list[str]:
        """Return addresses that no client has used."""
        self.network += 1
        return [address(self.network, number) for number in range(count)]

    async def locate(self, codes: Sequence[str]) -> list[Relay]:
        """Return the current relay of each code."""
        sources = self.sources(len(codes))
        await each(self.entry.visit, codes, sources)
        found = await self.fleet.whereabouts(sources)
        return [found[source] for source in sources]

    async def hold(self, codes: Sequence[str]) -> list[tuple[Side, Side]]:
        """Return an open pair for each code."""
        sources = zip(codes, self.sources(len(codes)), self.sources(len(codes)), strict=True)
        return [(await self.entry.join(c, a), await self.entry.join(c, b)) for c, a, b in sources]

    async def has_codes(self, relay: Relay) -> None:
        """Wait until a relay gets new codes."""
        with trio.fail_after(BACK):
            while relay not in await self.locate(self.codes(20)):
                await trio.sleep(0.2)

    async def find(self, waiting: Side, code: str, source: str) -> None:
        """Join the waiting side of a code."""
        # The relay asks a side that waits whether it is still there, so it must be read.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiting.event)
            async with await self.entry.join(code, source) as other:
                await other.send_message(b"found")
