"""Report the sessions of a command on standard error.

On a terminal, the last line shows state, bytes and rate. Without a terminal, each change of the
state is one line.
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
"""Bytes from which the progress of a connected guest is shown. Below, it would be in the way of a
prompt, such as that of ssh for a password."""


class Reporter:
    """Reports the events of sessions.

    Args:
        status: State of the sessions.
        stream: Standard error; None if it is closed.
        quiet: True to report only errors of sessions, and what `say` gets.
        single: True for a command with one session. The message of the command has the failure of
            the session, and a terminal shows nothing while few bytes have been transferred.
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
        """Write a line."""
        self.screen.print(text)

    def on_event(self, event: ClientEvent) -> None:
        """Note an event, and write a line about it unless the last line shows it."""
        line = self.status.update(event)
        if isinstance(event, Ended) and is_failure(event.error):
            is_shown = not self._single
        else:
            is_shown = not (self._quiet or self.screen.is_terminal)
        if line and is_shown:
            self.say(line)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Keep the last line of a terminal current until cancelled, and then remove it."""
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
        """Return the last line; "" for none."""
        line = progress_line(self.status.text, self.traffic)
        return "" if self._single and self.status.is_well and self._is_short() else line

    def _is_short(self) -> bool:
        return sum(self.traffic.bytes) < BULK
