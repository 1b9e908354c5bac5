"""Historic faults of relays, as changes of the source, which the simulation must find.

Each fault is applied to a copy of relay/ in a temporary folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]


class Fault(NamedTuple):
    """Change of one file of relay/."""

    file: str
    old: str
    new: str


FAULTS: Final = {
    "teardown by code": Fault(
        "pairing/rendezvous.py",
        "        if self._pairs.get(pair.code) is pair:\n"
        "            del self._pairs[pair.code]\n"
        "            self._waiting.pop(pair, None)\n",
        "        if (freed := self._pairs.pop(pair.code, None)) is not None:\n"
        "            self._waiting.pop(freed, None)\n",
    ),
    "lost early message": Fault(
        "pairing/pump.py",
        "        if source is self._pair.a and (held := self._pair.early_data.take()):",
        "        if (held := self._pair.early_data.take()) and source is self._pair.a:",
    ),
    "early message lost at a close": Fault(
        "pairing/pair.py",
        "        if self.b is not None and (held := self.early_data.take()):",
        "        if False and (held := self.early_data.take()):",
    ),
    "close frame inside a fragmented message": Fault(
        "transport/stream_transport.py",
        "            self._nursery.start_soon(self._write, self._flushed)\n"
        "        await self._flushed.wait()\n",
        "            await self._write(self._flushed)\n",
    ),
    "keepalive ends a slow transfer": Fault(
        "pairing/keepalive.py",
        "        blocked = transport.write_blocked\n",
        "        blocked = False\n",
    ),
    "takeover of a live side": Fault(
        "pairing/alive_check.py",
        "        with trio.move_on_after(takeover_timeout):\n",
        "        with trio.move_on_after(0):\n",
    ),
    "stop forgets waiting sides": Fault(
        "server/shutdown.py",
        "        for pair in waiting:\n"
        "            pair.end(Outcome.STOPPED)\n"
        "        for pair in waiting:\n"
        "            await pair.over.wait()\n"
        "        end_pairs(state)\n",
        "        for pair in state.pairs:\n"
        "            if pair not in waiting:\n"
        "                pair.end(Outcome.STOPPED)\n",
    ),
    "early data without a limit": Fault(
        "pairing/early_data.py",
        "EARLY_DATA_LIMIT: Final = 64 * 1024\n",
        "EARLY_DATA_LIMIT: Final = 2**30\n",
    ),
}
"""Faults by name."""


def run_with(fault: Fault, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m proof.simulation` with these arguments on a relay with a fault."""
    with TemporaryDirectory() as folder:
        copy = shutil.copytree(ROOT / "relay", Path(folder) / "relay")
        file = copy / fault.file
        source = file.read_text()
        if source.count(fault.old) != 1:
            raise ValueError(f"{fault.file} has changed: adapt the fault to it")
        file.write_text(source.replace(fault.old, fault.new))
        # The coverage of a copy that is deleted could not be reported.
        inherited = {name: os.environ[name] for name in os.environ if "COVERAGE" not in name}
        return subprocess.run(
            [sys.executable, "-P", "-m", "proof.simulation", *arguments],
            env=inherited | {"PYTHONPATH": os.pathsep.join((folder, str(ROOT)))},
            capture_output=True,
            text=True,
            check=False,
        )
