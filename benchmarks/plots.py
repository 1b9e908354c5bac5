"""One picture for each workload: bars for one point, lines for a curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import Metric, Sample, Values, medians, readable
from .gate import OURS
from .peers import PEERS
from .workloads import COMPARED, Workload

_OURS_COLOUR, _OTHER_COLOUR = "#1f6feb", "#9aa4b2"


def draw(workload: Workload, samples: Sequence[Sample], directory: Path) -> Path:
    """Draw the first two metrics of a workload; return the file."""
    metrics = [metric for metric in workload.metrics if metric.is_result][:COMPARED]
    figure = Figure(figsize=(5.2 * len(metrics), 3.6), layout="constrained")
    for number, metric in enumerate(metrics):
        axes = figure.add_subplot(1, len(metrics), number + 1)
        (_lines if workload.is_curve else _bars)(axes, workload, metric, samples)
        axes.set_title(f"{metric.name}, {metric.unit} ({metric.better} is better)", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{workload.name}: {workload.title}")
    path = directory / f"{workload.name}.png"
    figure.savefig(path, dpi=110)
    return path


def _bars(axes: Axes, workload: Workload, metric: Metric, samples: Sequence[Sample]) -> None:
    middle = medians(samples)
    point = workload.points[0]
    shown = [peer for peer in PEERS if (workload.name, point, peer.name) in middle]
    for row, peer in enumerate(shown):
        rounds = [sample.values[metric.name] for sample in _of(samples, peer.name, point)]
        value = middle[workload.name, point, peer.name][metric.name]
        axes.barh(row, value, color=_OURS_COLOUR if peer.name == OURS else _OTHER_COLOUR)
        # Every round is a dot, so that a reader sees how far the median can be trusted.
        axes.plot(rounds, [row] * len(rounds), "k.", markersize=3)
        axes.annotate(
            f" {readable(value)}",
            (max(value, *rounds, 0), row),
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(shown)), [peer.title for peer in shown], fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.locator_params(axis="x", nbins=5)


def _lines(axes: Axes, workload: Workload, metric: Metric, samples: Sequence[Sample]) -> None:
    middle = medians(samples)
    for peer in PEERS:
        curve: list[tuple[int, Values]] = [
            (point, middle[workload.name, point, peer.name])
            for point in workload.points
            if (workload.name, point, peer.name) in middle
        ]
        if curve:
            axes.plot(
                [point for point, _ in curve],
                [values[metric.name] for _, values in curve],
                marker="o",
                markersize=3,
                linewidth=2.4 if peer.name == OURS else 1.1,
                label=peer.title,
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(workload.scale)
    axes.legend(fontsize=7, frameon=False)


def _of(samples: Sequence[Sample], peer: str, point: int) -> list[Sample]:
    return [s for s in samples if s.peer == peer and s.point == point and not s.failure]
