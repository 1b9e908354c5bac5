"""Samples of a relay: its metrics, its threads, and the latency that the clients measured."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import trio

from tests.support.raw_client import Client

from .members import Place

KIB: Final = 1024
MILLISECONDS: Final = 1000
METRIC: Final = re.compile(r"^([a-z_]+)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)
SERIES: Final = {
    "resident memory, KiB": "memory",
    "descriptors besides connections": "descriptors",
    "open connections": "connections",
    "threads": "threads",
    "latency, median, ms": "p50",
    "latency, 95th percentile, ms": "p95",
    "CPU, % of a core": "cpu",
}
"""Series whose slopes are reported, with their keys in `Sample.values`."""


@dataclass(frozen=True)
class Sample:
    """Values of one relay at one time."""

    relay: str
    time: float
    """Seconds since the start of the soak."""
    at_rest: bool
    """True if no client is connected."""
    values: Mapping[str, float]


async def ticks(interval: float, duration: float) -> AsyncIterator[float]:
    """Yield the time since the start in seconds at even intervals, until the duration is over.

    Ticks that are due while the caller is busy are left out.
    """
    start = trio.current_time()
    time = interval
    while time <= duration:
        await trio.sleep_until(start + time)
        yield time
        time = interval * (int((trio.current_time() - start) / interval) + 1)


@dataclass(eq=False)
class Sampler:
    """Source of the samples of one relay."""

    name: str
    pid: int
    metrics_port: int
    place: Place
    cpu: tuple[float, float] = (0.0, 0.0)
    """Time of the last sample, and CPU seconds until then."""

    async def take(self, time: float, *, at_rest: bool = False) -> Sample:
        """Read all values now."""
        metrics = await self.metrics()
        trips, self.place.round_trips = self.place.round_trips, []
        before, self.cpu = self.cpu, (time, metrics["process_cpu_seconds_total"])
        values = {
            "memory": metrics["process_resident_memory_bytes"] / KIB,
            "connections": metrics["arc_relay_connections"],
            "pairs": metrics["arc_relay_pairs"],
            "descriptors": metrics["process_open_fds"] - metrics["arc_relay_connections"],
            "reloads_failed": metrics.get("arc_relay_reloads_failed_total", 0.0),
            "threads": threads_of(self.pid),
        }
        if time > before[0]:
            values["cpu"] = 100 * (self.cpu[1] - before[1]) / (time - before[0])
        if len(trips) > 1:
            values["p50"] = median(trips) * MILLISECONDS
            values["p95"] = quantiles(trips, n=20, method="inclusive")[-1] * MILLISECONDS
        return Sample(self.name, time, at_rest, values)

    async def metrics(self) -> dict[str, float]:
        """Return the metrics by name; metrics with labels are added up."""
        async with Client(await trio.open_tcp_stream("127.0.0.1", self.metrics_port)) as client:
            text = (await client.get("/metrics")).body.decode()
        found: dict[str, float] = {}
        for name, value in METRIC.findall(text):
            found[name] = found.get(name, 0.0) + float(value)
        return found


def threads_of(pid: int) -> int:
    """Return the number of threads of a process."""
    return len([*Path(f"/proc/{pid}/task").iterdir()])
