"""Latency beside a busy pair: that of another pair, and that of new connections.

The busy pair runs in a thread. A thread is enough: it spends its time in calls that leave the
interpreter to other threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from .children import Running
from .exchanges import pingpong_over
from .figures import percentile
from .load import Effort, message_for
from .pairs import LoadError, connect, opened
from .streams import Flow, stream_over

PAUSE = 0.002
"""Seconds between two requests, which so are no load of their own."""
_HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def fairness(peer: Running, effort: Effort, size: int) -> dict[str, float]:
    """Measure the latency in µs that a pair with bulk data adds to another pair."""
    with opened(peer, 1) as quiet:
        alone = pingpong_over(quiet, peer, effort)
    with opened(peer, 1) as quiet, bulk(peer, effort, size) as flow:
        beside = pingpong_over(quiet, peer, effort)
        moved = flow.result()
    added = {f"added {name}": beside[name] - alone[name] for name in ("p50", "p99")}
    return added | {"bulk": moved["rate"], "busy": beside["busy"], "load busy": beside["load busy"]}


def health_beside_bulk(peer: Running, effort: Effort, size: int) -> dict[str, float]:
    """Measure `GET /health` beside a pair that streams messages of `size` bytes."""
    with bulk(peer, effort, size) as busy:
        return _health_beside(busy, peer, effort)


def health_beside_pingpong(peer: Running, effort: Effort, count: int) -> dict[str, float]:
    """Measure `GET /health` beside `count` pairs in ping-pong."""
    with (
        opened(peer, count) as pairs,
        background(lambda longer: pingpong_over(pairs, peer, longer), effort) as busy,
    ):
        return _health_beside(busy, peer, effort)


def _health_beside(
    busy: Future[dict[str, float]], peer: Running, effort: Effort
) -> dict[str, float]:
    """Request again and again on new connections: percentiles in µs from connect to response."""
    time.sleep(effort.warm_up)
    times = []
    until = time.perf_counter() + effort.window
    while (began := time.perf_counter()) < until:
        _request_health(peer)
        times.append(time.perf_counter() - began)
        time.sleep(PAUSE)
    times.sort()
    used = busy.result()
    return {
        "p50": percentile(times, 0.5) * 1e6,
        "p99": percentile(times, 0.99) * 1e6,
        "busy": used["busy"],
        "load busy": used["load busy"],
    }


def _request_health(peer: Running) -> None:
    # Peers without that resource answer with an error status, which costs them no less.
    with connect(peer) as end:
        end.sendall(_HEALTH)
        if not end.recv(4096).startswith(b"HTTP/1.1 "):
            raise LoadError("no response to GET /health")


@contextmanager
def bulk(peer: Running, effort: Effort, size: int) -> Iterator[Future[dict[str, float]]]:
    """Stream messages of `size` bytes over a pair during the block."""
    message = message_for(peer, size)
    with opened(peer, 1) as [pair]:
        flows = [Flow(pair.a, pair.b, message)]
        with background(
            lambda longer: stream_over(pair, flows, peer, longer, message), effort
        ) as busy:
            yield busy


@contextmanager
def background(
    load: Callable[[Effort], dict[str, float]], effort: Effort
) -> Iterator[Future[dict[str, float]]]:
    """Run a load in a thread, for longer than a measurement with `effort` takes."""
    longer = Effort(effort.warm_up, effort.window + 2 * effort.warm_up)
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(load, longer)
