"""Tables of medians and ratios for people, and a file of every sample."""

from __future__ import annotations

import json
import os
import platform
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from .figures import Key, Sample, Values, medians, ratio, readable
from .gate import ALLOWED, OURS, Verdict
from .peers import LIMITS, PEERS, REFERENCE
from .scale import COUNTS, SCALED, gain
from .workloads import COMPARED, Workload

_TITLES = {peer.name: peer.title for peer in PEERS}


def print_workload(console: Console, workload: Workload, samples: Sequence[Sample]) -> None:
    """Print one workload's table, its failures, and the headroom of the load."""
    middle = medians(samples)
    table = _table(f"{workload.name}: {workload.title} (ratio to {_TITLES[REFERENCE]})")
    table.add_column("peer", no_wrap=True)
    if workload.is_curve:
        table.add_column(workload.scale, justify="right")
    shown = [metric for metric in workload.metrics if metric.is_result]
    for metric in shown:
        table.add_column(f"{metric.name}\n{metric.unit}", justify="right")
    loaded = len(shown) < len(workload.metrics)
    if loaded:
        table.add_column("busy %\npeer/load", justify="right")
    for name, point in _rows(workload, samples):
        values = middle.get((workload.name, point, name), {})
        reference = middle.get((workload.name, point, REFERENCE), {})
        table.add_row(
            _TITLES[name],
            *([f"{point:,}"] if workload.is_curve else []),
            *(_compared(values.get(m.name), reference.get(m.name)) for m in shown[:COMPARED]),
            *(readable(values.get(m.name)) for m in shown[COMPARED:]),
            *([_busy(values)] if loaded else []),
        )
    console.print(table)
    for sample in samples:
        if sample.failure:
            where = f" at {sample.point:,}" if workload.is_curve else ""
            console.print(f"  {_TITLES[sample.peer]}{where}: {sample.failure}", style="yellow")
    if line := headroom(workload, middle):
        console.print(f"  {line}", style="dim")
    console.print()


def headroom(workload: Workload, middle: Mapping[Key, Values]) -> str:
    """Print the headroom of the load over the relay, if a raw splice shows it."""
    metric = next((m for m in workload.metrics[:COMPARED] if m.better == "more"), None)
    if workload.is_curve or metric is None:
        return ""
    point = workload.points[0]
    ours = middle.get((workload.name, point, OURS))
    limit = next((name for name in LIMITS if (workload.name, point, name) in middle), None)
    if ours is None or limit is None:
        return ""
    times = middle[workload.name, point, limit][metric.name] / ours[metric.name]
    return (
        f"The same load moves {times:.2f} times as much through the {_TITLES[limit]};"
        f" with {_TITLES[OURS]} the relay was busy {ours['busy']:.0f} %,"
        f" the load {ours['load busy']:.0f} %."
    )


def print_verdicts(console: Console, verdicts: Iterable[Verdict]) -> None:
    """Print the gate's ratios and bounds."""
    table = _table("The relay's CPU over a yardstick's")
    for column in ("workload", "metric", "yardstick", "measured", "baseline", "allowed", ""):
        table.add_column(column)
    for verdict in verdicts:
        bound = verdict.bound
        table.add_row(
            bound.workload,
            bound.metric,
            _TITLES[bound.yardstick],
            readable(verdict.measured),
            readable(bound.baseline),
            readable(ALLOWED * bound.baseline),
            _judgement(verdict),
        )
    console.print(table)


def print_gains(console: Console, samples: Sequence[Sample]) -> None:
    """Print the gain of a second relay for each workload, and the failures."""
    table = _table("Relays behind HAProxy, under the same load")
    table.add_column("workload")
    for count in COUNTS:
        table.add_column(f"relays: {count}\nrate, busy %", justify="right")
    table.add_column("ratio", justify="right")
    for workload in SCALED:
        figures, times = gain(workload, samples)
        table.add_row(
            f"{workload.title}, {workload.metrics[0].unit}",
            *(", ".join(readable(each.get(name)) for name in ("rate", "busy")) for each in figures),
            readable(times),
        )
    console.print(table)
    for sample in samples:
        if sample.failure:
            console.print(f"  {sample.workload}, {sample.peer}: {sample.failure}", style="yellow")


def write_json(path: Path, samples: Sequence[Sample], skipped: Mapping[str, str]) -> None:
    """Write every sample, and the facts about the machine."""
    machine = {
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
    }
    content = {"machine": machine, "skipped": skipped, "samples": [asdict(s) for s in samples]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _judgement(verdict: Verdict) -> str:
    if verdict.passed:
        return "ok"
    return "[red]not measured[/red]" if verdict.measured is None else "[red]too slow[/red]"


def _rows(workload: Workload, samples: Iterable[Sample]) -> list[tuple[str, int]]:
    taken = {(sample.peer, sample.point) for sample in samples}
    return [
        (name, point) for point in workload.points for name in _TITLES if (name, point) in taken
    ]


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD)


def _compared(value: float | None, reference: float | None) -> str:
    times = ratio(value, reference)
    return readable(value) + (f" [bold]({times:.2f})[/bold]" if times is not None else "")


def _busy(values: Values) -> str:
    return "/".join(f"{values[name]:.0f}" if values else "-" for name in ("busy", "load busy"))
