"""One task that reads the sockets of all pairs, so that a message need not wake its pair's own.

To wake a task, and to put it to sleep again, costs more than to pass a message on. So a pump leaves
the lookout a plain call that does that, and sleeps until the call says that there is something to
wait for.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import trio

__all__ = ["Lookout", "open_lookout"]

BATCH: Final = 1024
"""Sockets that are read before every other task of the relay gets its turn.

About as many as trio would wake at once, if each of them had a task.
"""


@contextmanager
def open_lookout() -> Iterator[Lookout | None]:
    """Yield a lookout, which whoever waits in it must not outlive; None where there is no epoll.

    Raises OSError if the system has no descriptor left for it.
    """
    if not hasattr(select, "epoll"):
        yield None
        return
    with select.epoll() as epoll:
        yield Lookout(epoll)


class Lookout:
    """Reads descriptors for whoever left it a call for what comes."""

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        self._vigils: dict[int, Vigil] = {}

    async def watch(self) -> None:
        """Read what there is to read, until cancelled."""
        while True:
            # An epoll set is itself readable once one of its events is there.
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            for fd, _ in self._epoll.poll(0, BATCH):
                self._look(fd)

    def _look(self, fd: int) -> None:
        vigil = self._vigils.get(fd)
        # There is none if a call before this one in the same batch ended it.
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
        # Its traceback has the vigil in it, and this frame: kept in either, it would keep the pair.
        failure, vigil.failure = vigil.failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            del failure

    def _end(self, vigil: Vigil) -> None:
        # The number is another's if somebody closed the descriptor meanwhile.
        if self._vigils.get(vigil.fd) is vigil:
            del self._vigils[vigil.fd]
            with suppress(OSError):
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
