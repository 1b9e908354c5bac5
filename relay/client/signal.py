"""A flag that tasks wait for."""

from __future__ import annotations

import trio


class Signal:
    """Flag that wakes all waiting tasks. If no task waits, it wakes the next task that waits."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        """Set the flag."""
        self._event.set()

    async def wait(self) -> None:
        """Wait until the flag is set, then clear it."""
        event = self._event
        await event.wait()
        if self._event is event:
            self._event = trio.Event()
