"""One task that reads the sockets of all pairs, so that a message need not wake its pair's own.

To wake a task, and to put it to sleep again, costs more than to pass a message on. So a pump leaves
the lookout a plain call that does that, and sleeps until the call says that there is something to
wait for.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Final

import trio

__all__ = ["Lookout"]

BATCH: Final = 128
"""Sockets that are read before every other task of the relay gets its turn."""


class Lookout:
    """Reads descriptors for whoever left it a call for what comes."""

    AVAILABLE: Final = hasattr(select, "epoll")
    """Whether this system has what it takes; without, wires wait for themselves."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._vigils: dict[int, Vigil] = {}

    async def watch(self) -> None:
        """Read what there is to read, until cancelled."""
        # An epoll set is itself readable once one of its events is there.
        with self._epoll:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                for fd, _ in self._epoll.poll(0, BATCH):
                    vigil = self._vigils.get(fd)
                    if vigil is not None and vigil.is_over():
                        self._end(vigil)
                        trio.lowlevel.reschedule(vigil.task)

    async def read_until(self, fd: int, take: Callable[[bytes], bool], max_bytes: int) -> None:
        """Give take what can be read, at most max_bytes at once, until it returns True.

        b"" is the end of the stream. take must not wait; what it raises, and the OSError of a read
        that fails, is raised here. Cancelling it loses nothing. One task at a time may wait for a
        descriptor, and whoever closes it cancels that task before.
        """
        vigil = Vigil(fd, take, max_bytes, trio.lowlevel.current_task())
        self._epoll.register(fd, select.EPOLLIN)
        self._vigils[fd] = vigil

        def abort(_: object) -> trio.lowlevel.Abort:
            self._end(vigil)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        if vigil.failure is not None:
            raise vigil.failure

    def _end(self, vigil: Vigil) -> None:
        del self._vigils[vigil.fd]
        self._epoll.unregister(vigil.fd)


class Vigil:
    """A descriptor, and who sleeps while it is read."""

    __slots__ = ("_max_bytes", "_take", "failure", "fd", "task")

    def __init__(
        self, fd: int, take: Callable[[bytes], bool], max_bytes: int, task: trio.lowlevel.Task
    ) -> None:
        self.fd = fd
        self._take = take
        self._max_bytes = max_bytes
        self.task = task
        self.failure: Exception | None = None

    def is_over(self) -> bool:
        """Read once, and return whether the task is to be woken."""
        try:
            return self._take(os.read(self.fd, self._max_bytes))
        except BlockingIOError:  # readable is a hint: another reader or a bad checksum
            return False
        except Exception as failure:  # noqa: BLE001 - it is raised where somebody waits for it
            self.failure = failure
            return True
