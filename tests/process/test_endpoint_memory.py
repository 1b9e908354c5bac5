"""Memory and processor time of an endpoint in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import trio

from relay.client import Link
from tests.support.relay_fixtures import ProcessRelay

HOST = """
import sys, trio
from relay.client import serve

async def handler(session):
    pass

async def main():
    async with trio.open_nursery() as nursery:
        async def host(*, task_status):
            await serve(sys.stdin.readline(), handler, task_status=task_status)
        await nursery.start(host)
        print("waits", flush=True)

trio.run(main)
"""

MAX_MEMORY = 48 * 2**20
"""Bytes; about 37 MiB are expected, and CPython versions differ. The command `share` takes more."""


async def test_idle_host(process_relay: ProcessRelay) -> None:
    """A host that waits for guests has little memory, and uses no processor time."""
    link = Link.new(f"ws://127.0.0.1:{process_relay.port}/")
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", HOST], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        await process.stdin.send_all(f"{link.text}\n".encode())
        assert (await process.stdout.receive_some()).startswith(b"waits")
        folder = Path("/proc", str(process.pid))
        before = processor_time(folder)
        await trio.sleep(1)
        assert processor_time(folder) - before < 0.1
        found = re.search(r"^VmRSS:\s*(\d+) kB$", (folder / "status").read_text(), re.MULTILINE)
        assert found is not None
        assert int(found[1]) * 1024 < MAX_MEMORY
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        await process.stdin.aclose()
        await process.stdout.aclose()


def processor_time(folder: Path) -> float:
    """Return the processor time of a process in seconds."""
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
