"""The examples and the options of README.md are correct."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from relay import RelaySettings
from relay.daemon.settings import DaemonSettings
from relay.fields import iter_fields

README = Path(__file__).parents[2].joinpath("README.md").read_text()


def test_embedding_example() -> None:
    """The embedding example runs unchanged."""
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], capture_output=True, text=True, check=True
    )
    said = r"relaying on port \d+, 0 pairs\n"
    assert re.fullmatch(said, done.stdout)
    assert done.stderr == ""


def test_options() -> None:
    """The options in the table exist, and have the stated defaults."""
    rows = re.findall(r"^\| `--([a-z-]+)`[^|]* \| `([^`|]*)` \|", README, re.MULTILINE)
    assert len(rows) >= 7
    defaults = {
        name.replace("_", "-"): about.display(default)
        for kind in (DaemonSettings, RelaySettings)
        for name, default, about in iter_fields(kind)
    }
    for name, default in rows:
        assert defaults[name] == default
