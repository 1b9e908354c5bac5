"""Command `python -m proof.simulation`: run seeds, replay a seed, or find the historic faults."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Final

from rich.console import Console
from rich.progress import Progress

from .checker import check
from .faults import FAULTS, run_with
from .history import History
from .plan import Plan, make_plan
from .run import run
from .shrink import shrink

CHUNK: Final = 20
"""Number of seeds that a process runs at a time."""

MOST_SEEDS: Final = 1000
"""Number of seeds after which a fault counts as not found."""

Failures = list[tuple[int, list[str]]]
"""Seeds that failed, with the broken promises."""

console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run the command; return 1 if a promise was broken or a fault was not found."""
    parser = argparse.ArgumentParser(prog="python -m proof.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="number of seeds")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="number of processes")
    parser.add_argument("--seed", type=int, help="replay this seed, and print its trace")
    parser.add_argument("--shrink", action="store_true", help="with --seed: make the plan smaller")
    parser.add_argument("--sockets", action="store_true", help="use real sockets, in real time")
    parser.add_argument("--faults", action="store_true", help="find each fault in a changed relay")
    options = parser.parse_args()
    if options.seed is not None:
        return replay(options.seed, smaller=options.shrink)
    if options.faults:
        return find_faults()
    if options.sockets:
        return run_real(options.first, options.seeds)
    return run_seeds(options.first, options.seeds, options.jobs)


def examine(plan: Plan) -> tuple[list[str], History | None]:
    """Run a plan; return the broken promises and the history. An exception breaks a promise."""
    try:
        history = run(plan)
        return check(history), history
    except Exception:  # noqa: BLE001 - a crash is a result, too
        return [traceback.format_exc()], None


def run_chunk(seeds: range) -> Failures:
    """Run seeds up to the first that fails; return the failure."""
    for seed in seeds:
        if faults := examine(make_plan(seed))[0]:
            return [(seed, faults)]
    return []


def run_chunks(seeds: range, jobs: int) -> Iterator[tuple[int, Failures]]:
    """Run seeds in processes; yield the number of seeds and the failures of each chunk."""
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    if jobs == 1:
        yield from ((len(chunk), run_chunk(chunk)) for chunk in chunks)
        return
    with ProcessPoolExecutor(jobs) as pool:
        try:
            results = pool.map(run_chunk, chunks)
            yield from zip(map(len, chunks), results, strict=True)
        finally:
            pool.shutdown(cancel_futures=True)


def run_seeds(first: int, count: int, jobs: int) -> int:
    """Run seeds until one fails; print its trace."""
    began, done, failed = time.perf_counter(), 0, Failures()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("seeds", total=count)
        for number, failures in run_chunks(range(first, first + count), jobs):
            done += number
            progress.update(task, completed=done)
            if failed := failures:
                break
    for seed, faults in failed:
        console.print(f"seed {seed} fails after {seed - first + 1} seeds")
        console.print(
            *faults, f"smaller: python -m proof.simulation --seed {seed} --shrink", sep="\n"
        )
        return replay(seed)
    console.print(f"{done} seeds keep all promises, in {time.perf_counter() - began:.0f} s")
    return 0


def run_real(first: int, count: int) -> int:
    """Run seeds over real sockets and, as root, over a lossy link; stop at the first failure."""
    from .real_time import run_batches  # noqa: PLC0415 - it needs pytest and trustme

    for name, history, faults in run_batches(first, count):
        console.print(f"{name}: {len(history.clients)} clients", markup=False)
        if faults:
            suspects = [f"{fault.partition(':')[0]}:" for fault in faults]
            lines = [line for line in history.trace if any(each in line for each in suspects)]
            console.print(*lines, *faults, sep="\n", markup=False)
            return 1
    return 0


def replay(seed: int, *, smaller: bool = False) -> int:
    """Run a seed, and print its plan and its trace; return the exit status.

    If ``smaller`` is true and the seed fails, reduce its plan first.
    """
    plan = make_plan(seed)
    faults, history = examine(plan)
    if smaller and faults:
        plan = shrink(plan, lambda each: bool(examine(each)[0]))
        faults, history = examine(plan)
    settings = " ".join(f"{name}={value:g}" for name, value in plan.settings.items())
    lines = [f"settings: {settings}", f"{plan.stop} at {plan.stop_at:g} s", *plan.clients]
    if history is not None:
        lines += [*history.trace, f"trace {history.trace_hash}"]
    console.print(*lines, *(faults or ["all promises are kept"]), sep="\n", markup=False)
    return 1 if faults else 0


def find_faults() -> int:
    """Print the number of seeds after which each fault is found; return the exit status."""
    missed = 0
    for name, fault in FAULTS.items():
        done = run_with(fault, "--seeds", str(MOST_SEEDS), "--jobs", "1")
        result = done.stdout.splitlines()
        found = next((line for line in result if line.startswith("seed ")), "not found")
        missed += found == "not found"
        console.print(f"{name}: {found}: {result[-1] if result else done.stderr}", markup=False)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
