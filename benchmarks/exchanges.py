"""Load that waits for replies: latency, and the rate of new pairs."""

from __future__ import annotations

import select
import socket
import time

from .children import Running
from .figures import latencies, percentile
from .frames import Message, Receiver
from .load import Effort, Meter, message_for
from .pairs import (
    TIMEOUT,
    LoadError,
    Pair,
    ask_to_pair,
    connect,
    interleaved,
    life,
    new_code,
    opened,
    read_answer,
)

PINGPONG_BYTES = 100
HELD_BYTES = 16384
_EVENTS = 256
_CLOCK = time.perf_counter


class _Player:
    """One side of a pair in ping-pong, which answers each message with one."""

    def __init__(self, end: socket.socket, message: Message, *, serves: bool) -> None:
        end.setblocking(False)
        self.recv, self.send = end.recv, end.send
        self.receiver = Receiver(message.arriving)
        self.serves = serves
        self.served_at = _CLOCK()
        if serves:
            self.send(message.sent)


class _Game:
    """Ping-pong in every pair concurrently: message count, and round trips in seconds."""

    def __init__(self, pairs: list[Pair], message: Message) -> None:
        self.messages = 0
        self.trips: list[float] = []
        self._message = message
        self._poll = select.epoll(2 * len(pairs))
        self._players: dict[int, _Player] = {}
        for pair in pairs:
            for end in pair:
                self._poll.register(end, select.EPOLLIN)
                self._players[end.fileno()] = _Player(end, message, serves=end is pair.a)

    def play(self, seconds: float) -> None:
        """Run for a while, counting from zero."""
        sent, arriving, players = self._message.sent, self._message.arriving, self._players
        messages, trips = 0, []
        until = _CLOCK() + seconds
        while _CLOCK() < until:
            events = self._poll.poll(TIMEOUT, _EVENTS)
            if not events:
                raise LoadError("nothing moved for a long time")
            for number, _ in events:
                player = players[number]
                try:
                    data = player.recv(4096)
                except BlockingIOError:  # a record of TLS that has no data
                    continue
                # Nearly always one whole frame; what is not takes the long way.
                if data != arriving and not _completes(player, data):
                    continue
                messages += 1
                if player.serves:
                    now = _CLOCK()
                    trips.append(now - player.served_at)
                    player.served_at = now
                player.send(sent)
        self.messages, self.trips = messages, trips


def _completes(player: _Player, data: bytes) -> bool:
    if not data:
        raise LoadError("the peer hung up in a ping-pong")
    return player.receiver.feed(data) > 0


def pingpong(peer: Running, effort: Effort, count: int) -> dict[str, float]:
    """Bounce one small message in each of `count` pairs concurrently."""
    with opened(peer, count) as pairs:
        return pingpong_over(pairs, peer, effort)


def pingpong_over(pairs: list[Pair], peer: Running, effort: Effort) -> dict[str, float]:
    """Run ping-pong over open pairs: round trips in µs, messages a second, CPU in µs a message."""
    game = _Game(pairs, message_for(peer, PINGPONG_BYTES))
    game.play(effort.warm_up)
    meter = Meter(peer)
    game.play(effort.window)
    wall, cpu, busy = meter.stop()
    if not game.trips:
        raise LoadError("too slow to measure")
    rates = {"rate": game.messages / wall, "CPU/message": cpu / game.messages * 1e6}
    return latencies(game.trips) | rates | busy


def held(peer: Running, effort: Effort, size: int) -> dict[str, float]:
    """Measure from side B's connect to the first byte of side A's early data, in µs."""
    message = message_for(peer, size).sent
    times = []
    for _ in range(effort.repeats):
        code = new_code()
        with connect(peer) as a:
            ask_to_pair(a, peer, code)
            read_answer(a, peer)
            a.sendall(message)
            time.sleep(0.002)  # for the relay to take it in
            began = _CLOCK()
            with connect(peer) as b:
                ask_to_pair(b, peer, code)
                if not read_answer(b, peer) and not b.recv(1):
                    raise LoadError("what was held did not arrive")
                times.append(_CLOCK() - began)
    times.sort()
    return {"p50": percentile(times, 0.5) * 1e6, "p99": percentile(times, 0.99) * 1e6}


def set_up(peer: Running, effort: Effort, width: int) -> dict[str, float]:
    """Open pairs and close them again, `width` at a time: pairs a second, CPU in µs a pair."""

    def lives_for(seconds: float) -> int:
        meter.start()
        made = (life(peer) for _ in iter(lambda: meter.elapsed() < seconds, False))
        return sum(1 for _ in interleaved(made, width))

    meter = Meter(peer)
    lives_for(effort.warm_up)
    count = lives_for(effort.window)
    wall, cpu, busy = meter.stop()
    return {"rate": count / wall, "CPU/pair": cpu / count * 1e6} | busy
