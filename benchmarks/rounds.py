"""One run: every workload over every peer, in alternating rounds."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .children import PeerError, started
from .figures import Sample
from .frames import FrameError
from .load import Effort
from .pairs import LoadError
from .peers import Peer
from .tls import make_tls
from .workloads import Workload


@dataclass(frozen=True)
class Ready:
    """Installed peer, and its command."""

    peer: Peer
    command: list[str]


@dataclass(frozen=True)
class Step:
    """One sample to be taken."""

    workload: Workload
    point: int
    ready: Ready
    round: int


def prepare(peers: Iterable[Peer]) -> tuple[list[Ready], dict[str, str]]:
    """Install peers; return the installed ones, and the reason of each skipped one."""
    ready, skipped = [], {}
    for peer in peers:
        try:
            ready.append(Ready(peer, peer.prepare()))
        except PeerError as error:
            skipped[peer.name] = str(error)
    return ready, skipped


def plan(workloads: Iterable[Workload], ready: list[Ready], rounds: int) -> Iterator[Step]:
    """Order the steps so that peers alternate, and drift of the machine affects all alike."""
    for workload in workloads:
        for number in range(rounds):
            for point in workload.points:
                # Every other round goes backwards: no peer always follows the same one.
                for each in ready[:: -1 if number % 2 else 1]:
                    if each.peer.serves(workload):
                        yield Step(workload, point, each, number)


def take(step: Step, effort: Effort) -> Sample:
    """Take one sample of a newly started peer; a failure is a sample too."""
    workload, peer = step.workload, step.ready.peer
    key = (workload.name, step.point, peer.name, step.round)
    # The load's own garbage collection must not look like latency of the peer.
    gc.collect()
    gc.disable()
    try:
        with started(
            step.ready.command,
            peer.pairing,
            inherits_listener=peer.inherits_listener,
            tls=make_tls() if workload.tls else None,
        ) as running:
            return Sample(*key, values=workload.run(running, effort, step.point))
    except (PeerError, LoadError, FrameError, OSError) as error:
        return Sample(*key, failure=str(error) or type(error).__name__)
    finally:
        gc.enable()
