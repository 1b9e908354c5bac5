"""Report the sessions of a command on standard error.

On a terminal, the last line shows the state, the number of bytes and the rate. Without a terminal,
each change of the state is written as a line.
"""

from __future__ import annotations

from typing import Final, TextIO

import trio

from ...client.events import ClientEvent, Ended
from .progress import Traffic, progress_line
from .screen import Screen
from .status import Status, is_failure

INTERVAL: Final = 0.5
"""Seconds between two updates of the last line."""

BULK: Final = 10**6
"""Minimum number of bytes with which a command with one session shows its progress. Earlier, the
progress could overwrite a prompt, such as the password prompt of ssh."""


class Reporter:
    """Reporter of the events of sessions.

    Args:
        status: State of the sessions.
        stream: Standard error; None if it is closed.
        quiet: True to report only failed sessions and the lines that `say` writes.
        single: True for a command with only one session. The reporter then leaves the failure of
            the session to the command's error message, and shows no progress below `BULK` bytes.
    """

    def __init__(
        self, status: Status, stream: TextIO | None, *, quiet: bool, single: bool = False
    ) -> None:
        self.status = status
        self.screen = Screen(stream)
        self.traffic = Traffic(trio.current_time)
        self._quiet = quiet
        self._single = single

    def say(self, text: str) -> None:
        """Write a line to standard error."""
        self.screen.print(text)

    def on_event(self, event: ClientEvent) -> None:
        """Update the status with an event. Write a line about it if it must be reported."""
        line = self.status.update(event)
        if isinstance(event, Ended) and is_failure(event.error):
            is_shown = not self._single
        else:
            is_shown = not (self._quiet or self.screen.is_terminal)
        if line and is_shown:
            self.say(line)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Update the last line of a terminal until cancelled, then erase it."""
        task_status.started()
        if self._quiet or not self.screen.is_terminal:
            return
        try:
            while True:
                await trio.sleep(INTERVAL)
                self.screen.draw(self.line())
        finally:
            self.screen.draw("")

    def line(self) -> str:
        """Return the text of the last line; "" if there is nothing to show."""
        line = progress_line(self.status.text, self.traffic)
        return "" if self._single and self.status.is_well and self._is_short() else line

    def _is_short(self) -> bool:
        return sum(self.traffic.bytes) < BULK
