"""Report the sessions of a command on standard error.

On a terminal, the last line shows the state, the number of bytes and the rate. Without a terminal,
each change of the state is written as a line.
"""

from __future__ import annotations

import os
import shutil
import sys
import termios
from contextlib import suppress
from typing import Final

import trio

from ...client import ClientEvent, Ended
from ...daemon.errors import escaped
from ...daemon.nonblocking_handler import NonBlockingHandler, descriptor_of, unblocked
from ...daemon.program import PROGRAM
from .status import Status, Traffic, is_failure

INTERVAL: Final = 0.5  # seconds between two updates of the last line
ERASE: Final = b"\r\x1b[K"  # erases the last line

# Bytes from which on a command with a single session shows its progress. Earlier, the progress
# could overwrite a prompt, such as the password prompt of ssh.
BULK: Final = 10**6


class Reporter:
    """Reporter of the events of sessions. It never blocks: output that would block is lost.

    With ``quiet``, it reports only failed sessions and lines of `say`. With ``single``, it leaves
    the failure of the only session to the error message of the command.
    """

    def __init__(self, status: Status, *, quiet: bool, single: bool = False) -> None:
        descriptor = descriptor_of(sys.stderr)
        self.is_terminal = descriptor is not None and os.isatty(descriptor)
        self.status = status
        self.traffic = Traffic()
        self._terminal = unblocked(descriptor) if self.is_terminal else None
        self._lines = NonBlockingHandler(sys.stderr)
        self._quiet = quiet
        self._single = single
        self._drawn = ""

    def say(self, text: str) -> None:
        """Write a line that begins with the name of the program."""
        self.draw("")
        self._lines.write(f"{PROGRAM}: {escaped(text)}")

    def draw(self, text: str) -> None:
        """Replace the last line of a terminal; "" erases it. Without a terminal, do nothing."""
        if self._terminal is None or text == self._drawn:
            return
        line = escaped(text)[: shutil.get_terminal_size().columns - 1]
        with suppress(OSError, termios.error):
            local_modes = termios.tcgetattr(self._terminal)[3]
            if local_modes & termios.ICANON:  # otherwise, another program uses it, such as ssh
                os.write(self._terminal, ERASE + line.encode(errors="replace"))
                self._drawn = text

    def on_event(self, event: ClientEvent) -> None:
        """Update the status with an event. Write a line about it if it must be reported."""
        line = self.status.update(event)
        is_failed = isinstance(event, Ended) and is_failure(event.error)
        is_hidden = self._single if is_failed else self._quiet or self.is_terminal
        if line and not is_hidden:
            self.say(line)

    async def run(self) -> None:
        """Update the last line of a terminal until cancelled, then erase it.

        Without a terminal, and with ``quiet``, return at once.
        """
        traffic = self.traffic
        try:
            while self.is_terminal and not self._quiet:
                await trio.sleep(INTERVAL)
                is_small = self._single and sum(traffic.bytes) < BULK
                parts = (self.status.text, traffic.text(trio.current_time()))
                is_hidden = is_small and self.status.is_well
                self.draw("" if is_hidden else " | ".join(filter(None, parts)))
        finally:
            self.draw("")
