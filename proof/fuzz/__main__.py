"""Command `python -m proof.fuzz`: compare the parsers of the relay with wsproto and h11."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
NAMES = tuple(sorted(path.name for path in CORPUS.iterdir()))
MAX_INPUT = 600
"""Maximum size of an input in bytes."""
SLOW_SECONDS = 5
"""Seconds after which an input has failed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if an input failed."""
    options = parse(arguments)
    if options.replay:
        return replay(options.target, options.replay)
    if options.target:
        fuzz(options.target, options.seconds, options.failures, options.keep)
    command = [sys.executable, "-m", "proof.fuzz", "--seconds", str(options.seconds)]
    command += ["--failures", str(options.failures)]
    running = {
        name: subprocess.Popen([*command, name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # noqa: S603 - this program again
        for name in NAMES
    }
    failed = 0
    for name, process in running.items():
        output = process.communicate()[0].decode(errors="replace")
        if process.returncode:
            failed = 1
            print(output[-5000:])
        print(f"{name}: {last_line(output)}")
    return failed


def last_line(output: str) -> str:
    """Return the last line of output with text, which has the number of inputs."""
    return next((line for line in reversed(output.splitlines()) if line.strip()), "no output")


def replay(target: str, files: Sequence[Path]) -> int:
    """Check the inputs in files; the first failure is raised."""
    from .targets import TARGETS  # noqa: PLC0415 - `fuzz` instruments the import

    for file in files:
        TARGETS[target](file.read_bytes())
    print(f"{len(files)} inputs passed")
    return 0


def fuzz(target: str, seconds: int, failures: Path, keep: Path | None) -> None:
    """Fuzz one target with atheris, guided by the coverage of relay/protocol; end the process.

    ``keep`` is the folder for inputs with new coverage; by default they are discarded.
    """
    import atheris  # noqa: PLC0415 - an extra; a replay works without it

    with atheris.instrument_imports(include=["relay.protocol"]):
        from .targets import TARGETS, WORDS  # noqa: PLC0415 - instrumented

    failures.mkdir(parents=True, exist_ok=True)
    prefix = f"{failures}/{target}-"
    print(f"a failing input is repeated by: python -m proof.fuzz {target} --replay {prefix}crash-*")
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder) / "words"
        lines = ("".join(f"\\x{byte:02x}" for byte in word) for word in WORDS[target])
        words.write_text("".join(f'"{line}"\n' for line in lines))
        new = keep or Path(folder) / "new"
        new.mkdir(exist_ok=True)
        atheris.Setup(
            [
                "proof.fuzz",
                f"-max_total_time={seconds}",
                f"-max_len={MAX_INPUT}",
                f"-timeout={SLOW_SECONDS}",
                f"-artifact_prefix={prefix}",
                f"-dict={words}",
                "-verbosity=1",
                str(new),
                str(CORPUS / target),
            ],
            TARGETS[target],
        )
        atheris.Fuzz()


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m proof.fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", choices=NAMES, help="fuzz only this (both at a time)")
    parser.add_argument("--seconds", type=int, default=30, help="duration (30)")
    parser.add_argument("--replay", nargs="+", type=Path, metavar="FILE", help="check these inputs")
    parser.add_argument(
        "--failures",
        type=Path,
        metavar="DIR",
        default=Path("fuzz-failures"),
        help="folder for failing inputs (fuzz-failures)",
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep inputs with new coverage")
    options = parser.parse_args(arguments)
    if options.replay and not options.target:
        parser.error("--replay needs a target")
    if not options.replay and find_spec("atheris") is None:
        parser.error("fuzzing needs atheris, which the extra `fuzz` installs")
    return options


if __name__ == "__main__":
    sys.exit(main())
