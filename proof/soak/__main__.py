"""Command `python -m proof.soak`: run the soak, and report the trends."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import trio
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .report import draw, print_report, relays, write_json
from .run import Plan, Soak, faults
from .slope import HOUR

TABLE_WIDTH = 120


def main() -> int:
    """Run the soak of the command line; return 1 if it found a fault."""
    options = parse()
    plan = Plan(options.hours * HOUR, options.pairs, options.interval, options.seed)
    soak, console = Soak(plan), Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
    with TemporaryDirectory() as folder:
        try:
            watch(console, soak, Path(folder))
        except KeyboardInterrupt:
            console.print("stopped early", style="yellow")
        if not soak.samples:
            return 1
        found = faults(soak)
        print_report(console, soak, found)
        if options.json:
            write_json(options.json, soak, found)
        if options.plot:
            draw(options.plot, soak.samples)
    return 1 if found else 0


def watch(console: Console, soak: Soak, folder: Path) -> None:
    """Run the soak and show its progress: a bar, and on no terminal a line at each rest."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, refresh_per_second=1) as progress:
        task = progress.add_task("starting", total=soak.plan.seconds)

        def report(time: float) -> None:
            memory = {each.relay: each.values["memory"] / 1024 for each in soak.samples}
            line = (
                f"{soak.results.lives.total():,} lives, {len(soak.results.failures)} failed, "
                + ", ".join(f"{name} {memory[name]:.1f} MiB" for name in relays(soak.samples))
            )
            progress.update(task, completed=time, description=line)
            if soak.samples[-1].at_rest and not console.is_terminal:
                console.print(f"{time / 60:.1f} min: {line}")

        trio.run(soak.run, folder, report)


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m proof.soak",
        description="Run pairs through two relays for hours; report slopes of memory,"
        " descriptors and latency.",
    )
    parser.add_argument("--hours", type=positive, default=1.0, help="duration (1)")
    parser.add_argument("--pairs", type=int, default=10, help="pairs at a time at each relay (10)")
    parser.add_argument("--interval", type=positive, default=10.0, help="seconds a sample (10)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choices of lives (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the series, as PNG or SVG")
    options = parser.parse_args()
    if options.plot and find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib, which the extra `bench` installs")
    if options.hours * HOUR < options.interval:
        parser.error("--hours must be at least one --interval")
    return options


def positive(text: str) -> float:
    """Return a number above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("a number above 0")
    return number


if __name__ == "__main__":
    sys.exit(main())
