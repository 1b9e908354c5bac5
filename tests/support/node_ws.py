"""The library ws of Node, which npm installs for the tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

INSTALLED = pytest.StashKey[Path | str]()
"""Directory of ws in this run, or the reason why there is none."""


def find_ws(config: pytest.Config, factory: pytest.TempPathFactory) -> Path:
    """Return a directory with ws, which is installed once for this run; skip the test without it.

    With the cache of pytest, later runs use the same directory.
    """
    if INSTALLED not in config.stash:
        config.stash[INSTALLED] = install_ws(config, factory)
    found = config.stash[INSTALLED]
    if isinstance(found, str):
        pytest.skip(found)
    return found


def install_ws(config: pytest.Config, factory: pytest.TempPathFactory) -> Path | str:
    """Install ws; return its directory, or the reason why it cannot be installed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "there is no node, or no npm"
    if config.pluginmanager.has_plugin("cacheprovider"):
        directory = config.cache.mkdir("ws")
    else:
        directory = factory.mktemp("ws")
    if not (directory / "node_modules/ws/package.json").exists():
        options = ("--no-audit", "--no-fund", "--prefix", str(directory))
        install = [npm, "install", *options, "ws@8"]
        try:
            subprocess.run(install, check=True, capture_output=True, timeout=60)
        except (OSError, subprocess.SubprocessError) as error:
            return f"npm could not install ws: {type(error).__name__}"
    return directory
