"""Commands for which the shipped host name is this machine, such as `arc-relay probe`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .certificates import HOST

__all__ = ["knowing", "probe", "relay_command"]

SECONDS = 60.0
HOSTS = f"127.0.0.1 localhost {HOST} authority.example\n"
NAMED = 'mount --bind "$0" /etc/hosts && exec "$@"'
"""Shell script that replaces /etc/hosts in its own mount namespace, and runs a command."""


def knowing(directory: Path, *command: str) -> list[str]:
    """Return a command that resolves the names; it needs a file in a directory."""
    hosts = directory / "hosts"
    hosts.write_text(HOSTS)
    return ["unshare", "--mount", "sh", "-c", NAMED, str(hosts), *command]


def relay_command(
    directory: Path, *arguments: str | Path, **options: Any
) -> subprocess.Popen[bytes]:
    """Start a command of arc-relay that resolves the names."""
    command = (sys.executable, "-m", "relay", *map(str, arguments))
    return subprocess.Popen(knowing(directory, *command), **options)


def probe(
    url: str, authority: Path, directory: Path, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Return the result of a probe that trusts an authority; another command may precede it."""
    command = (sys.executable, "-m", "relay", "probe", "--ca", str(authority), url)
    return subprocess.run(
        [*before, *knowing(directory, *command)],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
