"""Command `python -m benchmarks`, and its short form with `--gate`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from . import gate, report, scale
from .children import PeerError, raise_descriptor_limit
from .figures import Sample, medians
from .load import Effort
from .peers import PEERS, Peer
from .rounds import Step, plan, prepare, take
from .tls import restart_with_openssl_conf
from .workloads import WORKLOADS, Workload

FULL = Effort()
QUICK = Effort(warm_up=0.4, window=1.0, repeats=100)
GATE = Effort(warm_up=0.4, window=1.2)
GATE_ROUNDS = 3
TABLE_WIDTH = 100


def main() -> int:
    """Run the benchmark of the command line; return the exit status."""
    restart_with_openssl_conf()
    options = _parse()
    # A polite end from outside unwinds like Ctrl-C, so that the children end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    raise_descriptor_limit()
    console = Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
    try:
        if options.scale_out:
            return _scale_out(console, options.rounds or 3)
        return _gate(console) if options.gate else _compare(console, options)
    except KeyboardInterrupt:
        console.print("stopped", style="yellow")
        return 130


def _compare(console: Console, options: argparse.Namespace) -> int:
    effort = QUICK if options.quick else FULL
    rounds = options.rounds or (1 if options.quick else 3)
    peers = [peer for peer in PEERS if not options.peers or peer.name in options.peers]
    workloads = [
        workload.over_tls() if options.tls else workload
        for workload in WORKLOADS
        if (
            workload.name in options.only if options.only else not (options.quick and workload.slow)
        )
    ]
    samples, skipped = _measure(console, workloads, peers, rounds, effort)
    for workload in workloads:
        mine = [sample for sample in samples if sample.workload == workload.name]
        report.print_workload(console, workload, mine)
        if options.plot:
            from .plots import draw  # noqa: PLC0415 - matplotlib is an extra

            options.plot.mkdir(parents=True, exist_ok=True)
            draw(workload, mine, options.plot)
    if options.json:
        report.write_json(options.json, samples, skipped)
    return 0


def _gate(console: Console) -> int:
    names = {bound.workload for bound in gate.BASELINE}
    yardsticks = {gate.OURS} | {bound.yardstick for bound in gate.BASELINE}
    every = [*WORKLOADS, *(workload.over_tls() for workload in WORKLOADS)]
    workloads = [workload for workload in every if workload.name in names]
    peers = [peer for peer in PEERS if peer.name in yardsticks]
    samples, _ = _measure(console, workloads, peers, GATE_ROUNDS, GATE)
    for sample in samples:
        if sample.failure:
            console.print(f"{sample.peer}, {sample.workload}: {sample.failure}", style="red")
    verdicts = gate.compare(medians(samples), gate.BASELINE)
    report.print_verdicts(console, verdicts)
    return 0 if all(verdict.passed for verdict in verdicts) else 1


def _scale_out(console: Console, rounds: int) -> int:
    try:
        samples = scale.measure(rounds, GATE)
    except PeerError as error:
        console.print(f"not measured: {error}", style="red")
        return 1
    report.print_gains(console, samples)
    return 0


def _measure(
    console: Console,
    workloads: Sequence[Workload],
    peers: Sequence[Peer],
    rounds: int,
    effort: Effort,
) -> tuple[list[Sample], dict[str, str]]:
    """Take every sample and print progress; return the samples, and the skipped peers."""
    ready, skipped = prepare(peers)
    for name, reason in skipped.items():
        console.print(f"{name} is skipped: {reason}", style="yellow")
    steps = list(plan(workloads, ready, rounds))
    samples = []
    with _progress(console) as progress:
        task = progress.add_task("", total=len(steps))
        for step in steps:
            progress.update(task, description=_describe(step))
            samples.append(take(step, effort))
            progress.advance(task)
    return samples, skipped


def _describe(step: Step) -> str:
    point = f" {step.point:,}" if step.workload.is_curve else ""
    return f"{step.workload.name}{point}, round {step.round + 1}: {step.ready.peer.name}"


def _progress(console: Console) -> Progress:
    # Twice a second: drawing it takes processor time that the load would miss.
    return Progress(
        TextColumn("{task.description:<44}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        refresh_per_second=2,
        transient=True,
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure arc-relay beside its peers, under one load, in one run.",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="WORKLOAD",
        choices=[workload.name for workload in WORKLOADS],
        help="only these: " + ", ".join(workload.name for workload in WORKLOADS),
    )
    parser.add_argument(
        "--peers",
        nargs="+",
        metavar="NAME",
        choices=[peer.name for peer in PEERS],
        help="only these: " + ", ".join(peer.name for peer in PEERS),
    )
    parser.add_argument("--tls", action="store_true", help="wss:// in place of ws://")
    parser.add_argument("--rounds", type=_positive, help="rounds of every workload (3)")
    parser.add_argument("--quick", action="store_true", help="one short round, no slow workload")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw one picture a workload")
    parser.add_argument("--gate", action="store_true", help="the short form, which can fail")
    parser.add_argument(
        "--scale-out", action="store_true", help="two relays behind HAProxy against one"
    )
    options = parser.parse_args()
    if options.plot and find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib, which the extra `bench` installs")
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
