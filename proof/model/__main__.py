"""Command `python -m proof.model`: check the model with spin, and see that each fault is found."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MODEL: Final = Path(__file__).parent / "relay.pml"
FAULT: Final = re.compile(r"^#define ([A-Z_]+) ([1-9]) +/\* (.*) \*/$", re.MULTILINE)
CUT_OFF: Final = re.compile(r'search depth too small|limit|, state \d+, "(?!-end-")')
"""Output of a search that was not exhaustive, or that did not reach a statement of the model."""
MEMORY: Final = 2000
"""Limit of memory for one search in MiB."""
DEPTH: Final = 10_000
"""Limit of steps of one run of the model; all runs are far shorter."""
SEARCHES: Final = 2
"""Number of searches at the same time."""
SAFETY: Final = ("-DSAFETY",)
CYCLES: Final = ("-DNP",)
"""Option of the verifier that searches for runs without an end."""


@dataclass(frozen=True)
class Check:
    """One exhaustive search."""

    title: str
    fault: int = 0
    kind: Sequence[str] = SAFETY


@dataclass(frozen=True)
class Found:
    """Result of a search."""

    errors: int
    states: int
    seconds: float
    message: str
    """First error; "" if there is none."""


BASE: Final = (
    Check("no assertion fails, and no run gets stuck"),
    Check("every run ends", kind=CYCLES),
)


def main() -> int:
    """Run the checks; return 1 if the model has an error, or a fault is not found."""
    argparse.ArgumentParser(prog="python -m proof.model", description=__doc__).parse_args()
    if missing := [name for name in ("spin", "gcc") if shutil.which(name) is None]:
        print(f"not installed: {', '.join(missing)}; .ci/packages installs them", file=sys.stderr)
        return 1
    wrong = 0
    checks = (*BASE, *faults())
    with ThreadPoolExecutor(SEARCHES) as executor:
        for check, found in zip(checks, executor.map(search, checks), strict=True):
            passed = (found.errors > 0) is (check.fault > 0)
            wrong += not passed
            print(
                f"{'ok   ' if passed else 'WRONG'} | {check.title} | {found.states:,} |"
                f" {found.seconds:.1f} s {found.message}",
                flush=True,
            )
    return 1 if wrong else 0


def faults() -> Iterator[Check]:
    """Yield a search for each fault of the model."""
    for _, number, about in FAULT.findall(MODEL.read_text()):
        yield Check(about, int(number))


def search(check: Check) -> Found:
    """Translate the model, compile the verifier, and run it; CalledProcessError if this fails."""
    with tempfile.TemporaryDirectory() as folder:
        run(folder, "spin", "-a", f"-DFAULT={check.fault}", str(MODEL))
        options = ["-w", "-O2", "-DNOREDUCE", "-DNOFAIR", f"-DMEMLIM={MEMORY}", *check.kind]
        run(folder, "gcc", *options, "-o", "verify", "pan.c")
        cycles = ["-l"] if check.kind is CYCLES else []
        return parse(run(folder, "./verify", f"-m{DEPTH}", *cycles))


def run(folder: str, *command: str) -> str:
    """Run a program in a folder and return its output."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)  # noqa: S603 - fixed programs
    return done.stdout


def parse(output: str) -> Found:
    """Return the result that a verifier printed.

    Raises ValueError if the search was not exhaustive, or did not reach a statement of the model.
    """
    errors = re.search(r"errors: (\d+)", output)
    states = re.search(r"^ *([0-9.e+]+) states, stored", output, re.MULTILINE)
    seconds = re.search(r"elapsed time ([0-9.e+-]+)", output)
    reason = re.search(r"^pan:1: (.*) \(at depth", output, re.MULTILINE)
    if errors is None or states is None or seconds is None:
        raise ValueError(output)
    if not int(errors[1]) and CUT_OFF.search(output):
        raise ValueError(output)
    return Found(
        int(errors[1]), int(float(states[1])), float(seconds[1]), reason[1] if reason else ""
    )


if __name__ == "__main__":
    sys.exit(main())
