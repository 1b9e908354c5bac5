"""Parts that all kinds of load share: duration, cost and message.

One thread puts the load on raw sockets, so it costs the same for every peer. Its own cost is a
figure too: `load busy` near 100 % means that the load, not the peer, limited the rate. CPU figures
remain valid then, and rates are lower bounds.
"""

from __future__ import annotations

import select
import time
from contextlib import suppress
from dataclasses import dataclass

from .children import Pairing, Running
from .frames import Message, Receiver, payload_of
from .pairs import TIMEOUT, LoadError, Pair

READ_BYTES = 1 << 20
SEND_BYTES = 1 << 18


@dataclass(frozen=True)
class Effort:
    """Length of a measurement: seconds, or `repeats` for results that are counted."""

    warm_up: float = 0.7
    window: float = 2.5
    repeats: int = 300

    @property
    def limit(self) -> float:
        """Seconds after which a peer is too slow to go on with."""
        return 4 * (self.warm_up + self.window) + 20


class Meter:
    """CPU of the peer and of the load over an interval of wall time."""

    def __init__(self, peer: Running) -> None:
        self._peer = peer
        self.start()

    def start(self) -> None:
        """Start the interval again."""
        self._cpu, self._load = self._peer.cpu_seconds(), time.process_time()
        self._began = time.perf_counter()

    def elapsed(self) -> float:
        """Return seconds since the start."""
        return time.perf_counter() - self._began

    def stop(self) -> tuple[float, float, dict[str, float]]:
        """Return wall seconds, the peer's CPU seconds, and the load of both in %."""
        wall = self.elapsed()
        cpu = self._peer.cpu_seconds() - self._cpu
        load = time.process_time() - self._load
        return wall, cpu, {"busy": 100 * cpu / wall, "load busy": 100 * load / wall}


def message_for(peer: Running, size: int) -> Message:
    """Make the message for a peer, and its expected form on delivery."""
    return Message.of_size(size, unmasked_on_the_way=peer.pairing is Pairing.QUERY)


def check_content(pair: Pair, message: Message) -> None:
    """Send one message across and compare the delivery; this is not timed."""
    receiver, arrived, sent = Receiver(message.arriving), [b""], memoryview(message.sent)
    poll = select.poll()
    poll.register(pair.a, select.POLLOUT)
    poll.register(pair.b, select.POLLIN)
    for end in pair:
        end.setblocking(False)
    while not receiver.messages:
        ready = poll.poll(TIMEOUT * 1000)
        if not ready:
            raise LoadError("the first message did not arrive")
        for number, _ in ready:
            # A socket that is ready may still not have a whole record of TLS, or room for one.
            with suppress(BlockingIOError):
                if number == pair.b.fileno():
                    arrived.append(pair.b.recv(READ_BYTES))
                    if not arrived[-1]:
                        raise LoadError("the peer hung up on the first message")
                    receiver.feed(arrived[-1])
                elif sent:
                    sent = sent[pair.a.send(sent[:SEND_BYTES]) :]
                else:
                    poll.unregister(pair.a)
    for end in pair:
        end.settimeout(TIMEOUT)
    if payload_of(b"".join(arrived)) != message.payload:
        raise LoadError("the content did not arrive as it was sent")
