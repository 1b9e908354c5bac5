"""Command `python -m proof.model`: check the model with spin, and see that each fault is found."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MODEL: Final = Path(__file__).parent / "relay.pml"
FAULT: Final = re.compile(r"^#define ([A-Z_]+) ([1-9]) +/\* (.*) \*/$", re.MULTILINE)
MEMORY: Final = 6000
"""Limit of memory for one check in MiB."""
DEPTH: Final = 100_000
"""Limit of steps of one run of the model; all runs are far shorter."""
SAFETY: Final = ("-DSAFETY",)
CYCLES: Final = ("-DNP",)
"""Option of the verifier that searches for runs without an end."""
ANY_MOMENT, LAST = 0, 1
"""Values of LATE: the stop begins at any moment, or once nothing else can happen."""


@dataclass(frozen=True)
class Check:
    """One exhaustive search."""

    title: str
    connections: int
    late: int
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
    Check("4 connections, all pairs to their end", 4, LAST),
    Check("4 connections, no run without an end", 4, LAST, kind=CYCLES),
    Check("3 connections, a stop at any moment", 3, ANY_MOMENT),
    Check("3 connections and a stop, no run without an end", 3, ANY_MOMENT, kind=CYCLES),
)
FULL: Final = Check("4 connections, a stop at any moment", 4, ANY_MOMENT)


def main() -> int:
    """Run the checks; return 1 if the model has an error, or a fault is not found."""
    parser = argparse.ArgumentParser(prog="python -m proof.model", description=__doc__)
    parser.add_argument("--full", action="store_true", help=f"also {FULL.title}, in minutes")
    options = parser.parse_args()
    if missing := [name for name in ("spin", "gcc") if shutil.which(name) is None]:
        print(f"not installed: {', '.join(missing)}; .ci/packages installs them", file=sys.stderr)
        return 1
    wrong = 0
    for check in (*BASE, *faults(), *([FULL] if options.full else [])):
        found = search(check)
        passed = (found.errors > 0) is (check.fault > 0)
        wrong += not passed
        print(
            f"{'ok   ' if passed else 'WRONG'} {check.title}: {found.states:,} states,"
            f" {found.seconds:.1f} s{found.message and ': '}{found.message}",
            flush=True,
        )
    return 1 if wrong else 0


def faults() -> Iterator[Check]:
    """Yield a search for each fault of the model."""
    for name, number, about in FAULT.findall(MODEL.read_text()):
        yield Check(f"fault {name} ({about})", 3, ANY_MOMENT, int(number))


def search(check: Check) -> Found:
    """Translate the model, compile the verifier, and run it; CalledProcessError if this fails."""
    with tempfile.TemporaryDirectory() as folder:
        defined = {"FAULT": check.fault, "CONNECTIONS": check.connections, "LATE": check.late}
        macros = [f"-D{name}={value}" for name, value in defined.items()]
        run(folder, "spin", "-a", *macros, str(MODEL))
        options = ["-w", "-O2", "-DCOLLAPSE", f"-DMEMLIM={MEMORY}", *check.kind]
        run(folder, "gcc", *options, "-o", "verify", "pan.c")
        cycles = ["-l"] if check.kind is CYCLES else []
        return parse(run(folder, "./verify", f"-m{DEPTH}", *cycles))


def run(folder: str, *command: str) -> str:
    """Run a program in a folder and return its output."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)  # noqa: S603 - fixed programs
    return done.stdout


def parse(output: str) -> Found:
    """Return the result that a verifier printed; ValueError if the search was not exhaustive."""
    errors = re.search(r"errors: (\d+)", output)
    states = re.search(r"^ *([0-9.e+]+) states, stored", output, re.MULTILINE)
    seconds = re.search(r"elapsed time ([0-9.e+-]+)", output)
    reason = re.search(r"^pan:1: (.*) \(at depth", output, re.MULTILINE)
    if errors is None or states is None or seconds is None:
        raise ValueError(output)
    if not int(errors[1]) and ("max search depth too small" in output or "limit" in output):
        raise ValueError(output)
    return Found(
        int(errors[1]), int(float(states[1])), float(seconds[1]), reason[1] if reason else ""
    )


if __name__ == "__main__":
    sys.exit(main())
