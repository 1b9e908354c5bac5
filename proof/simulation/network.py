"""Networks between the clients and the relay: the interface, and a network in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random
from typing import Any, NamedTuple

import trio

from relay.pairing.side import Side

from .plan import ClientPlan
from .streams import Channel, Log, MemoryListener, MemoryStream


class Connection(NamedTuple):
    """Client's end of a connection."""

    stream: trio.abc.Stream
    reset: Callable[[], Awaitable[None]]
    vanish: Callable[[], None] = lambda: None
    """Function that is called when the client vanishes, with its stream open."""
    headers: str = ""
    """Header lines that the network adds to the request."""


class Network(ABC):
    """Network of one run."""

    listeners: Sequence[trio.abc.Listener[Any]]

    def __init__(self) -> None:
        self.log: Log = lambda *_: None
        """Function that is called for each read and write."""
        self.on_read: Callable[[int], None] = lambda _: None
        """Function that is called when the relay has read bytes of a client."""

    @abstractmethod
    async def connect(self, client: ClientPlan) -> Connection:
        """Connect a client; raise OSError if the relay does not accept connections."""

    @abstractmethod
    def index_of(self, side: Side) -> int:
        """Return the index of the client that is joining, in the task of its connection."""

    def bytes_read(self, index: int) -> int | None:
        """Return the number of bytes that the relay has read from a client; None if unknown."""
        return None

    def bytes_written(self, index: int) -> int:
        """Return the number of bytes that the relay has written to a client."""
        return 0

    def left_open(self) -> list[int]:
        """Return the clients whose streams the relay has not closed."""
        return []


class MemoryNetwork(Network):
    """Network of memory streams, whose cuts and delays follow from the seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._listener = MemoryListener()
        self.listeners = [self._listener]
        self._streams: dict[int, MemoryStream] = {}
        self._tasks: dict[trio.lowlevel.Task, int] = {}

    async def connect(self, client: ClientPlan) -> Connection:
        rng = Random(f"lines {self._seed} {client.index}")

        def log(operation: str, size: int) -> None:
            self.log(f"{client.index} {operation}", size)

        up, down = Channel(client.up, rng, log), Channel(client.down, rng, log)
        near, far = MemoryStream(up, down), MemoryStream(down, up)
        near.on_read = partial(self._note_read, client.index)
        self._listener.connect(near)
        self._streams[client.index] = near
        return Connection(far, far.reset)

    def _note_read(self, index: int) -> None:
        self._tasks[trio.lowlevel.current_task()] = index
        self.on_read(index)

    def index_of(self, side: Side) -> int:
        return self._tasks[trio.lowlevel.current_task()]

    def bytes_read(self, index: int) -> int | None:
        return self._streams[index].incoming.read if index in self._streams else None

    def bytes_written(self, index: int) -> int:
        return self._streams[index].outgoing.written

    def left_open(self) -> list[int]:
        return [index for index, stream in self._streams.items() if not stream.closed]
