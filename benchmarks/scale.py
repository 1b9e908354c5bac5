"""Gain from a second relay: the same load through HAProxy, in front of one relay and of two.

HAProxy and the load generator need processor time too. On a machine with few processors they take
it from the relays, so the ratio measured here is a lower bound.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .children import Pairing, PeerError, Running, started
from .figures import Sample, Values, medians, ratio
from .frames import FrameError
from .load import Effort
from .pairs import LoadError
from .peers import BALANCER, PEERS
from .workloads import WORKLOADS, Workload

COUNTS = (1, 2)
"""Numbers of relays behind HAProxy."""
SCALED = tuple(w for w in WORKLOADS if w.name in {"pingpong100", "pingpong1000", "setup"})
"""Workloads with many pairs; one pair always has one relay."""


@dataclass(frozen=True)
class Balanced(Running):
    """HAProxy as the load sees it; its costs are those of the relays behind it."""

    relays: tuple[Running, ...] = ()

    def cpu_seconds(self) -> float:
        return sum(relay.cpu_seconds() for relay in self.relays)

    def rss_bytes(self) -> int:
        return sum(relay.rss_bytes() for relay in self.relays)


def configuration(ports: Sequence[int]) -> str:
    """Return a configuration of HAProxy in which both sides of a code reach the same relay."""
    servers = "".join(
        f"    server relay{number} 127.0.0.1:{port} weight 100\n"
        for number, port in enumerate(ports, 1)
    )
    return BALANCER.read_text(encoding="ascii") + servers


@contextmanager
def balanced(relay: Sequence[str], haproxy: Sequence[str], count: int) -> Iterator[Balanced]:
    """Run this number of relays behind HAProxy until the block ends."""
    with ExitStack() as stack:
        relays = [stack.enter_context(started(relay, Pairing.QUERY)) for _ in range(count)]
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        written = Path(directory, "haproxy.cfg")
        written.write_text(configuration([each.port for each in relays]), encoding="ascii")
        front = stack.enter_context(
            started([*haproxy, str(written)], Pairing.QUERY, inherits_listener=True)
        )
        yield Balanced(front.pid, front.port, front.pairing, front.sink, relays=tuple(relays))


def measure(rounds: int, effort: Effort) -> list[Sample]:
    """Take the samples, with one and two relays in turn; raise PeerError without HAProxy.

    The peer of each sample has the number of relays as its name.
    """
    commands = {
        peer.name: peer.prepare() for peer in PEERS if peer.name in {"arc-relay", "haproxy"}
    }
    *haproxy, _ = commands["haproxy"]
    samples = []
    for workload in SCALED:
        for number in range(rounds):
            for count in COUNTS[:: -1 if number % 2 else 1]:
                key = (workload.name, workload.points[0], str(count), number)
                try:
                    with balanced(commands["arc-relay"], haproxy, count) as running:
                        values = workload.run(running, effort, workload.points[0])
                    samples.append(Sample(*key, values=values))
                except (PeerError, LoadError, FrameError, OSError) as error:
                    samples.append(Sample(*key, failure=str(error) or type(error).__name__))
    return samples


def gain(workload: Workload, samples: Sequence[Sample]) -> tuple[list[Values], float | None]:
    """Return the results for each count of relays, and the last rate over the first."""
    middle = medians(samples)
    figures: list[Values] = [
        middle.get((workload.name, workload.points[0], str(count)), {}) for count in COUNTS
    ]
    return figures, ratio(figures[-1].get("rate"), figures[0].get("rate"))
