"""Write lines to standard error, and rewrite the last line of a terminal."""

from __future__ import annotations

import os
import shutil
import termios
from contextlib import suppress
from typing import Final, TextIO

from ...daemon.errors import escaped
from ...daemon.nonblocking_handler import NonBlockingHandler, descriptor_of, unblocked
from ...daemon.program import PROGRAM

ERASE: Final = b"\r\x1b[K"
LOCAL_MODES: Final = 3
"""Index of the local modes in the result of `termios.tcgetattr`."""


class Screen:
    """Writer to standard error that never blocks. Output that would block is lost."""

    def __init__(self, stream: TextIO | None) -> None:
        descriptor = descriptor_of(stream)
        self.is_terminal = descriptor is not None and os.isatty(descriptor)
        self._descriptor = unblocked(descriptor) if self.is_terminal else None
        self._lines = NonBlockingHandler(stream)
        self._drawn = ""

    def print(self, text: str) -> None:
        """Write a line that begins with the name of the program."""
        self.draw("")
        self._lines.write(f"{PROGRAM}: {escaped(text)}")

    def draw(self, text: str) -> None:
        """Replace the last line of a terminal; "" erases it. Without a terminal, do nothing.

        A terminal that is not in canonical mode is left alone, because another program, such as
        ssh, uses it.
        """
        if self._descriptor is None or text == self._drawn or not is_canonical(self._descriptor):
            return
        line = escaped(text)[: shutil.get_terminal_size().columns - 1]
        with suppress(OSError):
            os.write(self._descriptor, ERASE + line.encode(errors="replace"))
            self._drawn = text


def is_canonical(descriptor: int) -> bool:
    """Return True if a terminal is in canonical mode, that is, its input is read by lines."""
    try:
        return bool(termios.tcgetattr(descriptor)[LOCAL_MODES] & termios.ICANON)
    except termios.error:
        return False
