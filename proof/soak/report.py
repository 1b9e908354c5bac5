"""Results of a soak: a table of slopes, a file of every sample, and a picture."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from .run import Soak
from .samples import SERIES, Sample
from .slope import HOUR, Slope, fit

WARM_UP: Final = 1 / 6
"""Share of a soak, at its begin, that the slopes leave out: caches and the heap still grow."""
DRAWN: Final = ("memory", "descriptors", "p50")
DPI: Final = 80


def series(samples: Iterable[Sample], relay: str, key: str) -> tuple[list[float], list[float]]:
    """Return the times and values of a series under load."""
    found = [
        (sample.time, sample.values[key])
        for sample in samples
        if sample.relay == relay and not sample.at_rest and key in sample.values
    ]
    return [time for time, _ in found], [value for _, value in found]


def slope_of(samples: Sequence[Sample], relay: str, key: str) -> Slope | None:
    """Return the slope of a series after the warm-up; None if it has too few samples."""
    begin = WARM_UP * max(sample.time for sample in samples)
    times, values = series([each for each in samples if each.time >= begin], relay, key)
    return fit(times, values) if len(times) > 1 else None


def print_report(console: Console, soak: Soak, faults: Sequence[str]) -> None:
    """Print the slopes, the rests, the lives and the faults."""
    for relay in relays(soak.samples):
        table = Table(title=f"{relay}: slopes after the warm-up", box=SIMPLE_HEAD)
        for column in ("series", "mean", "change/hour", "95 % confidence", "autocorrelation", ""):
            table.add_column(column, justify="left" if column in {"series", ""} else "right")
        for title, key in SERIES.items():
            if (slope := slope_of(soak.samples, relay, key)) is not None:
                table.add_row(
                    title,
                    f"{slope.mean:,.4g}",
                    f"{slope.per_hour:+,.3g}",
                    f"{slope.per_hour - slope.margin:+,.3g} to"
                    f" {slope.per_hour + slope.margin:+,.3g}",
                    f"{slope.autocorrelation:.2f}",
                    "level" if slope.is_level else "changes",
                )
        console.print(table)
        rests = [each.values for each in soak.samples if each.relay == relay and each.at_rest]
        for title, key in (("memory, KiB", "memory"), ("descriptors", "descriptors")):
            console.print(f"  at rest, {title}:", *(f"{values[key]:,.0f}" for values in rests))
    lives = soak.results.lives
    console.print(
        f"{lives.total():,} lives:", *(f"{n} {name}" for name, n in sorted(lives.items()))
    )
    for fault in faults:
        console.print(fault, style="red", markup=False)
    console.print(f"{len(faults)} faults")


def relays(samples: Iterable[Sample]) -> list[str]:
    """Return the names of the relays."""
    return list(dict.fromkeys(sample.relay for sample in samples))


def write_json(path: Path, soak: Soak, faults: Sequence[str]) -> None:
    """Write every sample, and the facts about the machine."""
    content = {
        "machine": {
            "processors": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
        "plan": asdict(soak.plan),
        "lives": soak.results.lives,
        "faults": faults,
        "samples": [asdict(sample) for sample in soak.samples],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def draw(path: Path, samples: Sequence[Sample]) -> None:
    """Draw memory, descriptors and latency of each relay, with their lines."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - matplotlib is an extra

    titles = {key: title for title, key in SERIES.items()}
    names = relays(samples)
    figure = Figure(figsize=(4 * len(DRAWN), 2.4 * len(names)), layout="constrained")
    for row, relay in enumerate(names):
        for column, key in enumerate(DRAWN):
            axes = figure.add_subplot(len(names), len(DRAWN), row * len(DRAWN) + column + 1)
            times, values = series(samples, relay, key)
            axes.plot([time / HOUR for time in times], values, "k.", markersize=2)
            if (slope := slope_of(samples, relay, key)) is not None:
                begin, end = WARM_UP * times[-1] / HOUR, times[-1] / HOUR
                line = [slope.at_zero + slope.per_hour * hours for hours in (begin, end)]
                axes.plot([begin, end], line, color="#1f6feb")
                change = f"{slope.per_hour:+,.2g} ± {slope.margin:.2g} per hour"
                axes.set_title(f"{relay}: {titles[key]}\n{change}", fontsize=9)
            axes.set_ylim(bottom=0)
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_xlabel("hours")
    figure.savefig(path, dpi=DPI)
