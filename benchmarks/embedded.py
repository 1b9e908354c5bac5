"""Command `python -m benchmarks.embedded`: delay of other tasks in a process that embeds the relay.

For each load, it prints percentiles of the delay of a timer, and of a round trip over a socket of
the embedding program. The relay handles the load in the same process.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .children import Pairing, Running, started
from .exchanges import pingpong_over
from .figures import percentile
from .load import Effort
from .pairs import opened
from .under_load import PAUSE, background, bulk

PROGRAM = Path(__file__).parent / "peers" / "embedded.py"
SHARES = (0.5, 0.99, 1.0)
ASK = b"?"
"""Message that asks the program for the delays of its timers."""


def main() -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedded", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds for each load (5)")
    options = parser.parse_args()
    effort = Effort(window=options.seconds)
    table = Table("load", "timer: p50, p99, max, ms", "round trip: p50, p99, max, ms")
    with started((sys.executable, str(PROGRAM)), Pairing.QUERY) as peer:
        own, _ = peer.sink.accept()
        loads: dict[str, AbstractContextManager[object]] = {
            "none": nullcontext(),
            "1 pair in ping-pong": pingpong(peer, effort, 1),
            "100 pairs in ping-pong": pingpong(peer, effort, 100),
            "64 KiB messages": bulk(peer, effort, 65536),
        }
        for name, load in loads.items():
            with load:
                time.sleep(effort.warm_up)
                read_delays(own)
                trips = round_trips(own, effort.window)
                table.add_row(name, shown(read_delays(own)), shown(trips))
    Console().print(table)
    return 0


@contextmanager
def pingpong(peer: Running, effort: Effort, count: int) -> Iterator[None]:
    """Keep pairs in ping-pong during the block."""
    with (
        opened(peer, count) as pairs,
        background(lambda longer: pingpong_over(pairs, peer, longer), effort),
    ):
        yield


def round_trips(own: socket.socket, seconds: float) -> list[float]:
    """Return the round trips, in seconds, of single bytes."""
    trips = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        own.sendall(b"x")
        own.recv(1)
        trips.append(time.perf_counter() - began)
        time.sleep(PAUSE)
    return trips


def read_delays(own: socket.socket) -> list[float]:
    """Return the delays of the timers, in seconds, since the last call."""
    own.sendall(ASK)
    with own.makefile("rb") as lines:
        delays: list[float] = json.loads(lines.readline())
    return delays


def shown(seconds: list[float]) -> str:
    """Return the percentiles of durations as text, in milliseconds."""
    seconds = sorted(seconds)
    return ", ".join(f"{percentile(seconds, share) * 1e3:.2f}" for share in SHARES)


if __name__ == "__main__":
    sys.exit(main())
