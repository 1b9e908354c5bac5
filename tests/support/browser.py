"""A headless Chromium that opens one page."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trio

from .chromium import OPTIONS


class Browser:
    """Chromium.

    Args:
        path: Path of the program.
        accepted_keys: Fingerprints of the public keys of accepted certificates, in base64.
    """

    def __init__(self, path: str, accepted_keys: str) -> None:
        self._path = path
        self._accepted_keys = accepted_keys

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[None]:
        """Show a page until the end of the block, in a new profile."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            process = await trio.lowlevel.open_process(
                [
                    self._path,
                    *OPTIONS,
                    f"--user-data-dir={profile}",
                    f"--ignore-certificate-errors-spki-list={self._accepted_keys}",
                    url,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                yield
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                with trio.CancelScope(shield=True):
                    await process.wait()
