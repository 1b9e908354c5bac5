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

from .read_size import READ_SIZE, READ_TIME, ReadSize

__all__ = ["EpollReader", "Read", "Take", "open_epoll_reader"]

TURN: Final = 0.01
"""Seconds of reading after which every other task of the relay runs."""

BATCH: Final = 1024
"""Sockets that the system is asked for at once; each turn goes on where the last one ended."""


Take = Callable[[bytes], bool]
Read = Callable[[int], bytes]


@contextmanager
def open_epoll_reader() -> Iterator[EpollReader | None]:
    """Yield a lookout, which whoever waits in it must not outlive; None where there is no epoll.

    Raises OSError if the system has no descriptor left for it.
    """
    if not hasattr(select, "epoll"):
        yield None
        return
    with select.epoll() as epoll:
        yield EpollReader(epoll)


class EpollReader:
    """Reads descriptors for whoever left it a call for what comes."""

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        self._registrations: dict[int, Registration] = {}
        self._ready: deque[tuple[Registration, int]] = deque()

    async def run(self) -> None:
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
            for fd, mask in self._epoll.poll(0, BATCH):
                # There is none if somebody closed it, and a copy of it is still in the set.
                if (found := self._registrations.get(fd)) is not None:
                    ready.append((found, mask))
        now = perf_counter()
        end = now + TURN
        while ready and now < end:
            registration, mask = ready.popleft()
            if self._registrations.get(registration.fd) is not registration:
                continue  # an earlier call ended it
            over = registration.read_once(mask)
            began, now = now, perf_counter()
            if over is None:
                continue
            size = registration.size
            if now - began > READ_TIME or size.bytes < READ_SIZE:
                size.adapt(now - began)
            if over:
                self._end(registration)
                trio.lowlevel.reschedule(registration.task)
            elif registration.has_more is not None and registration.has_more():
                ready.append((registration, mask))

    async def read_until(  # noqa: PLR0913 - two calls, two bounds, two kinds of source
        self,
        fd: int,
        take: Take,
        max_bytes: int,
        size: ReadSize,
        *,
        read: Read | None = None,
        has_more: Callable[[], bool] | None = None,
    ) -> None:
        """Give take what can be read, until it returns True.

        ``read`` reads so many bytes of the descriptor, by default with `os.read`, and raises
        BlockingIOError if there are none; ``has_more`` is True if it returns some although the
        descriptor is not readable. One read takes at most max_bytes, and at most ``size``, which is
        adapted to the time that it took. b"" is the end of the stream.

        take must not wait. What it raises, or read, is raised here. Cancelling it loses nothing.
        One task at a time may wait for a descriptor; whoever closes it cancels that task before.
        """
        registration = Registration(
            fd, size, take, max_bytes, read or partial(os.read, fd), has_more
        )
        await self._wait(registration, select.EPOLLIN)

    async def wait_hangup(self, fd: int) -> bool:
        """Wait until the other end of a socket closed it, without reading; return if by a reset."""
        registration = HangupRegistration(fd)
        await self._wait(registration, select.EPOLLRDHUP)
        return registration.reset

    async def _wait(self, registration: Registration, events: int) -> None:
        registration.task = trio.lowlevel.current_task()
        self._epoll.register(registration.fd, events)
        self._registrations[registration.fd] = registration

        def abort(_: object) -> trio.lowlevel.Abort:
            self._end(registration)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        # Its traceback has the vigil in it, and this frame: kept in either, it would keep the pair.
        failure, registration.failure = registration.failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            del failure

    def _end(self, registration: Registration) -> None:
        # The number is another's if somebody closed the descriptor meanwhile.
        if self._registrations.get(registration.fd) is registration:
            del self._registrations[registration.fd]
            with suppress(OSError):
                self._epoll.unregister(registration.fd)


class Registration:
    """A descriptor, and the task that sleeps while it is read."""

    __slots__ = ("_max_bytes", "_read", "_take", "failure", "fd", "has_more", "size", "task")

    task: trio.lowlevel.Task

    def __init__(  # noqa: PLR0913, PLR0917 - see `EpollReader.read_until`
        self,
        fd: int,
        size: ReadSize,
        take: Take,
        max_bytes: int,
        read: Read,
        has_more: Callable[[], bool] | None,
    ) -> None:
        self.fd = fd
        self.size = size
        self.has_more = has_more
        self._take = take
        self._max_bytes = max_bytes
        self._read = read
        self.failure: Exception | None = None

    def read_once(self, events: int) -> bool | None:
        """Read once; return True if the task is to be woken, None if nothing could be read."""
        try:
            size, limit = self.size.bytes, self._max_bytes
            return self._take(self._read(size if size < limit else limit))  # noqa: FURB136 - half the time
        except BlockingIOError:  # readable is a hint: another reader, or part of a TLS record
            return None
        except Exception as failure:  # noqa: BLE001 - it is raised where somebody waits for it
            self.failure = failure
            return True


class HangupRegistration(Registration):
    """A descriptor that is not read, and the task that sleeps until its other end is closed."""

    __slots__ = ("reset",)

    def __init__(self, fd: int) -> None:
        super().__init__(fd, ReadSize(), bool, 0, bytes, None)
        self.reset = False

    def read_once(self, events: int) -> bool:
        self.reset = bool(events & select.EPOLLERR)
        return True
