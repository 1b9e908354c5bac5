"""Endless streams of one message, sent and received at full speed."""

from __future__ import annotations

import select
import socket

from .children import Running
from .frames import Message, Receiver
from .load import READ_BYTES, SEND_BYTES, Effort, Meter, check_content, message_for
from .pairs import TIMEOUT, LoadError, Pair, opened


class Flow:
    """Stream of one message from one end of a pair to the other."""

    def __init__(self, source: socket.socket, target: socket.socket, message: Message) -> None:
        self.source, self.target = source, target
        self.receiver = Receiver(message.arriving)
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._sent = memoryview(message.sent * max(1, SEND_BYTES // len(message.sent)))
        self._at = 0

    def step(self) -> bool:
        """Send once and receive once, without waiting; return True if either did anything."""
        progress = False
        try:
            sent = self.source.send(self._sent[self._at : self._at + SEND_BYTES])
            self._at = (self._at + sent) % len(self._sent)
            progress = True
        except BlockingIOError:
            pass
        try:
            size = self.target.recv_into(self._buffer)
            if not size:
                raise LoadError("the peer hung up in the middle of a stream")
            self.receiver.feed(self._buffer[:size])
            progress = True
        except BlockingIOError:
            pass
        return progress


def stream(peer: Running, effort: Effort, size: int) -> dict[str, float]:
    """Stream messages of `size` bytes over one pair, one way."""
    message = message_for(peer, size)
    with opened(peer, 1) as [pair]:
        return stream_over(pair, [Flow(pair.a, pair.b, message)], peer, effort, message)


def stream_both_ways(peer: Running, effort: Effort, size: int) -> dict[str, float]:
    """Stream messages of `size` bytes over one pair, both ways concurrently."""
    message = message_for(peer, size)
    with opened(peer, 1) as [pair]:
        flows = [Flow(pair.a, pair.b, message), Flow(pair.b, pair.a, message)]
        return stream_over(pair, flows, peer, effort, message)


def stream_over(
    pair: Pair, flows: list[Flow], peer: Running, effort: Effort, message: Message
) -> dict[str, float]:
    """Run flows over an open pair: rate in MB/s, CPU in µs a message and ns a byte."""
    check_content(pair, message)
    events: dict[socket.socket, int] = dict.fromkeys(pair, 0)
    for flow in flows:
        flow.source.setblocking(False)
        flow.target.setblocking(False)
        events[flow.source] |= select.POLLOUT
        events[flow.target] |= select.POLLIN
    poll = select.poll()
    for end, mask in events.items():
        poll.register(end, mask)

    def run_past(seconds: float) -> int:
        """Run until a message ends after `seconds`; return the number of messages so far."""
        meter.start()
        before = sum(flow.receiver.messages for flow in flows)
        while True:
            moved = [flow.step() for flow in flows]
            if not any(moved) and not poll.poll(TIMEOUT * 1000):
                raise LoadError("nothing moved for a long time")
            now = sum(flow.receiver.messages for flow in flows)
            # From message end to message end, else one of 64 MiB more or less decides.
            if now > before and meter.elapsed() > seconds:
                return now
            if meter.elapsed() > effort.limit:
                raise LoadError("too slow to measure")

    meter = Meter(peer)
    before = run_past(effort.warm_up)
    count = run_past(effort.window) - before
    wall, cpu, busy = meter.stop()
    size = len(message.payload)
    return {
        "messages": count / wall,
        "rate": count * size / wall / 1e6,
        "CPU/message": cpu / count * 1e6,
        "CPU/byte": cpu / count / size * 1e9,
    } | busy
