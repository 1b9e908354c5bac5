"""Completion of the command line in bash."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import clean_environment

BASH = shutil.which("bash")


@pytest.mark.skipif(BASH is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("arc-relay he", {"health"}),
        ("arc-relay start --pair", {"--pair-ttl"}),
        ("arc-relay start --log-level w", {"warning"}),
        ("arc-relay start --token-file /", set[str]()),  # bash completes file names
    ],
)
def test_bash(tmp_path: Path, words: str, expected: set[str]) -> None:
    """The script of ``--show-completion`` completes commands, flags and words."""
    program = tmp_path / "arc-relay"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m relay "$@"\n')
    program.chmod(0o755)
    script = """
        completion="$(arc-relay --show-completion; true)"
        eval "$completion"
        COMP_WORDS=($WORDS)
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        "$(complete -p arc-relay | sed 's/.*-F \\([^ ]*\\) .*/\\1/')" arc-relay
        echo "${COMPREPLY[@]}"
    """
    environment = clean_environment({"WORDS": words})
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    done = subprocess.run(
        [str(BASH), "--norc", "-c", script],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=True,
    )
    assert (set(done.stdout.split()), done.stderr) == (expected, "")
