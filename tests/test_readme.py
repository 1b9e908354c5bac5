"""What the README shows is true."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from relay import RelaySettings

README = Path(__file__).parent.parent.joinpath("README.md").read_text()


def test_embedding_example() -> None:
    """The example runs as it stands."""
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], capture_output=True, text=True, check=True
    )
    said = r"relaying on port \d+, 0 pairs\n"
    assert re.fullmatch(said, done.stdout)
    assert done.stderr == ""


def test_options() -> None:
    """The table of options has every setting, with its default."""
    for item in fields(RelaySettings):
        flag = f"--{item.name.replace('_', '-')}"
        assert f"| `{flag}` | `{item.default:.15g}` |" in README
