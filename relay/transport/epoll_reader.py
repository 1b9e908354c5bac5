"""One task that reads all sockets, so that a message need not wake its pair's own tasks.

To wake a task, and to put it to sleep again, costs more than to pass a message on. So a pump leaves
the lookout a plain call that does that, and sleeps until the call says that there is something to
wait for.

The lookout is one of many tasks on one thread, and what it does between two checkpoints delays all
of them. Clients choose how much there is to read and how expensive it is. So time bounds a turn,
and not a number of reads: when `TURN` is over, every other task runs before the next read. Sockets
that were ready and not read come first in the next turn, so that none is passed over.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from time import perf_counter
from typing import Final

import trio

from .read_size import ReadSize

__all__ = ["Lookout", "Read", "Take", "open_lookout"]

TURN: Final = 0.01
"""Seconds of reading after which every other task of the relay runs."""

BATCH: Final = 1024
"""Sockets that the system is asked for at once; each turn goes on where the last one ended."""


Take = Callable[[bytes], bool]
Read = Callable[[int], bytes]


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
        self._ready: deque[tuple[Vigil, int]] = deque()

    async def watch(self) -> None:
        """Read what there is to read, until cancelled."""
        while True:
            if self._ready:
                await trio.lowlevel.checkpoint()
            else:
                # An epoll set is itself readable once one of its events is there.
                await trio.lowlevel.wait_readable(self._epoll.fileno())
            self._take_turn()

    def _take_turn(self) -> None:
        """Read each socket that is ready, for as long as the turn lasts."""
        ready = self._ready
        if not ready:
            for fd, events in self._epoll.poll(0, BATCH):
                if (found := self._vigils.get(fd)) is not None:
                    ready.append((found, events))
        now = perf_counter()
        end = now + TURN
        while ready and now < end:
            vigil, events = ready.popleft()
            if self._vigils.get(vigil.fd) is not vigil:  # an earlier call ended it
                continue
            over = vigil.is_over(events)
            began, now = now, perf_counter()
            if over is None:
                continue
            vigil.size.adapt(now - began)
            if over:
                self._end(vigil)
                trio.lowlevel.reschedule(vigil.task)
            elif vigil.has_more():
                ready.append((vigil, events))

    async def read_until(  # noqa: PLR0913 - two calls, two bounds, two kinds of source
        self,
        fd: int,
        take: Take,
        max_bytes: int,
        size: ReadSize,
        *,
        read: Read | None = None,
        has_more: Callable[[], bool] = bool,
    ) -> None:
        """Give take what can be read, until it returns True.

        ``read`` reads so many bytes of the descriptor, by default with `os.read`, and raises
        BlockingIOError if there are none; ``has_more`` is True if it returns some although the
        descriptor is not readable. One read takes at most max_bytes, and at most ``size``, which is
        adapted to the time that it took. b"" is the end of the stream.

        take must not wait. What it raises, or read, is raised here. Cancelling it loses nothing.
        One task at a time may wait for a descriptor; whoever closes it cancels that task before.
        """
        vigil = Vigil(fd, size, take, max_bytes, read or partial(os.read, fd), has_more)
        await self._wait(vigil, select.EPOLLIN)

    async def wait_hangup(self, fd: int) -> bool:
        """Wait until the other end of a socket closed it, without reading; return if by a reset."""
        vigil = HangupVigil(fd)
        await self._wait(vigil, select.EPOLLRDHUP)
        return vigil.reset

    async def _wait(self, vigil: Vigil, events: int) -> None:
        vigil.task = trio.lowlevel.current_task()
        self._epoll.register(vigil.fd, events)
        self._vigils[vigil.fd] = vigil

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
    """A descriptor, and the task that sleeps while it is read."""

    __slots__ = ("_max_bytes", "_read", "_take", "failure", "fd", "has_more", "size", "task")

    task: trio.lowlevel.Task

    def __init__(  # noqa: PLR0913, PLR0917 - see `Lookout.read_until`
        self,
        fd: int,
        size: ReadSize,
        take: Take,
        max_bytes: int,
        read: Read,
        has_more: Callable[[], bool],
    ) -> None:
        self.fd = fd
        self.size = size
        self.has_more = has_more
        self._take = take
        self._max_bytes = max_bytes
        self._read = read
        self.failure: Exception | None = None

    def is_over(self, events: int) -> bool | None:
        """Read once; return True if the task is to be woken, None if nothing could be read."""
        try:
            return self._take(self._read(min(self._max_bytes, self.size.bytes)))
        except BlockingIOError:  # readable is a hint: another reader, or part of a TLS record
            return None
        except Exception as failure:  # noqa: BLE001 - it is raised where somebody waits for it
            self.failure = failure
            return True


class HangupVigil(Vigil):
    """A descriptor that is not read, and the task that sleeps until its other end is closed."""

    __slots__ = ("reset",)

    def __init__(self, fd: int) -> None:
        super().__init__(fd, ReadSize(), bool, 0, bytes, bool)
        self.reset = False

    def is_over(self, events: int) -> bool:
        self.reset = bool(events & select.EPOLLERR)
        return True
