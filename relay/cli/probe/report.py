"""Output of the probe: a line for each step, or one JSON object at the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final, Protocol

import typer

from .runner import Result

FORMATS: Final = {
    "pairs": "pairs: {:.0f}",
    "pair": "pair {} in the log of the relay",
    "min_ms": "min {:.2f} ms",
    "median_ms": "median {:.2f} ms",
    "a_ms": "A {:.2f} ms",
    "b_ms": "B {:.2f} ms",
    "bytes": "{:.0f} bytes",
    "mb_per_s": "{:.1f} MB/s",
    "round_trip_ms": "then a round trip in {:.2f} ms",
}
"""Format of each figure in a text report."""

LONG: Final = 10.0
"""Duration, in seconds, below which `duration` displays milliseconds."""

MARKS: Final = {True: "ok", False: "FAIL", None: "note"}


class Report(Protocol):
    """Receiver of the results of a probe."""

    def step(self, result: Result) -> None:
        """Report the result of a step."""

    def end(self, results: Sequence[Result]) -> None:
        """Report the end of the probe, with the results of all steps."""


class TextReport:
    """Report for people: a line of text for each step, and a verdict at the end."""

    def __init__(self, url: str) -> None:
        self._url = url

    def step(self, result: Result) -> None:
        figures = [FORMATS[name].format(value) for name, value in result.figures.items()]
        text = result.error or ", ".join(figures)
        line = f"{MARKS[result.ok]:<5} {result.name:<23}{duration(result.seconds):>9}   {text}"
        typer.echo(line.rstrip())
        if result.hint:
            typer.echo(f"      usually: {result.hint}")

    def end(self, results: Sequence[Result]) -> None:
        verdict = "does not work" if failed(results) else "works"
        typer.echo(f"a pair through {self._url} {verdict}")


class JsonReport:
    """Report for programs: one JSON object at the end."""

    def __init__(self, url: str) -> None:
        self._url = url

    def step(self, result: Result) -> None:
        pass

    def end(self, results: Sequence[Result]) -> None:
        steps = [asdict(result) for result in results]
        typer.echo(json.dumps({"url": self._url, "ok": not failed(results), "steps": steps}))


def failed(results: Sequence[Result]) -> bool:
    """Return True if the probe failed, because a vital step failed."""
    return any(result.ok is False for result in results)


def duration(seconds: float) -> str:
    """Format a duration with its unit: milliseconds below `LONG`, otherwise seconds."""
    return f"{seconds * 1000:.0f} ms" if seconds < LONG else f"{seconds:.1f} s"
