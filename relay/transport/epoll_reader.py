"""Read the sockets of all pairs in a single task.

Waking a task costs more CPU time than forwarding a message, so the task of a pump does not read. It
registers the descriptor of its source together with a function, and sleeps. The reader task waits
for an epoll set of all registered descriptors, reads each ready descriptor, and passes the bytes to
the function. The function forwards the bytes without waiting. It returns True if the task of the
pump has to continue, because the sink is blocked or the source has ended. Only then does the reader
task wake the task of the pump. A stream without a descriptor, such as a stream from an embedding
program, is read by the task of the pump.

A turn is a series of reads during which no other task runs. The clients determine how many bytes a
read returns and how much CPU time a byte costs, so a turn is bounded in time, not in reads. After
`TURN` seconds, every other task can run before the next read. The next turn begins with the ready
sockets that the last turn did not reach, so every ready socket is read.

Returning to the trio loop also costs more CPU time than forwarding a message. So after several
turns that woke no task, the reader task lingers: it waits in its own epoll call before it returns.
Lingering delays other tasks by at most the sum of `LINGER`, `SHORT_POLL` and one turn. It ends as
soon as a task is woken: by a new connection, by a response, or because a write blocks.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from time import perf_counter
from typing import Any, Final

import trio

from .epoll_registration import EventRegistration, Read, Registration, Take
from .read_size import READ_SIZE, READ_TIME, ReadSize

TURN: Final = 0.01
"""Maximum duration, in seconds, of a turn. After a turn, every other task can run."""

LINGER: Final = 0.0005
"""Seconds for which the reader task polls its epoll set before it returns to the trio loop.

With four times this value, a single pair that sends one message at a time, back and forth, needs
6 % less CPU time per message, but the median delay of the other tasks of an embedding program grows
by 1 ms.
"""

SHORT_POLL: Final = 0.001
"""Timeout, in seconds, of an epoll call while the reader task lingers.

epoll supports no shorter timeout except 0.
"""

QUIET_TURNS: Final = 4
"""The reader task lingers after more than this number of consecutive turns that woke no task.

A woken task may wake further tasks, which lingering would delay. For example, an accepted
connection needs several turns of the trio loop until its response is sent.
"""

BATCH: Final = 1024
"""Maximum number of ready descriptors that one epoll call returns. The next call returns others."""


@contextmanager
def open_epoll_reader() -> Iterator[EpollReader | None]:
    """Yield an epoll reader, or None on a platform without epoll.

    No task may be waiting for the epoll reader when the with block ends. Raises OSError if the
    descriptor limit is reached.
    """
    if not hasattr(select, "epoll"):
        yield None
        return
    with select.epoll() as epoll:
        yield EpollReader(epoll)


class EpollReader:
    """Reader of all registered descriptors. One task, the reader task, must call `run`."""

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        self._registrations: dict[int, Registration] = {}
        self._ready: deque[tuple[Registration, int]] = deque()
        self._turn_end = 0.0

    async def run(self) -> None:
        """Read ready descriptors and call their registered functions, until cancelled."""
        quiet_turns = 0
        while True:
            if self._ready:
                await trio.lowlevel.checkpoint()
            else:
                # An epoll descriptor is readable while one of its descriptors is ready.
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                self._poll(0)
            linger_end = perf_counter() + LINGER
            quiet_turns = 0 if self._take_turn() else quiet_turns + 1
            if quiet_turns > QUIET_TURNS and not self._linger(linger_end):
                quiet_turns = 0

    def _linger(self, end: float) -> bool:
        """Poll and read until the time ``end``. Return False as soon as a task is woken."""
        while not self._ready and self._turn_end < end and self._poll(SHORT_POLL):
            if self._take_turn():
                return False
        return True

    def _poll(self, seconds: float) -> bool:
        """Queue descriptors that become ready within ``seconds``. Return True if any is queued."""
        for fd, mask in self._epoll.poll(seconds, BATCH):
            # A closed descriptor without a registration stays in the set while a duplicate is open.
            if (found := self._registrations.get(fd)) is not None:
                self._ready.append((found, mask))
        return bool(self._ready)

    def _take_turn(self) -> bool:
        """Read the ready sockets, for at most `TURN` seconds. Return True if a task was woken."""
        ready, registrations, woke = self._ready, self._registrations, False
        now = perf_counter()
        end = now + TURN
        while ready and now < end:
            registration, mask = ready.popleft()
            if registrations.get(registration.fd) is not registration:
                continue  # an earlier call in this turn removed the registration
            over = registration.read_once(mask)
            began, now = now, perf_counter()
            if over is None:
                continue
            size = registration.size
            if now - began > READ_TIME or size.bytes < READ_SIZE:
                size.adapt(now - began)
            if over:
                woke = True
                self._end(registration)
                trio.lowlevel.reschedule(registration.task)
            elif registration.has_more is not None and registration.has_more():
                ready.append((registration, mask))
        self._turn_end = now
        return woke

    def read_until(  # noqa: PLR0913 - two calls, two bounds, two kinds of source
        self,
        fd: int,
        take: Take,
        max_bytes: int,
        size: ReadSize,
        *,
        read: Read | None = None,
        has_more: Callable[[], bool] | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Sleep while the reader task reads ``fd`` and calls ``take``, until ``take`` returns True.

        Args:
            fd: The descriptor. Only one task at a time may wait for a descriptor. The task must be
                cancelled before the descriptor is closed.
            take: A function that the reader task calls with the bytes of each read; b"" is the end
                of the stream. The function must not wait.
            max_bytes: The maximum number of bytes in one read.
            size: A second maximum, which adapts to the time that ``take`` needs.
            read: A function that reads at most the given number of bytes. It raises BlockingIOError
                if no bytes are available. None to read ``fd`` with `os.read`.
            has_more: A function that returns True if ``read`` has bytes although the descriptor is
                not readable; None if ``read`` never has such bytes.

        This method raises the exceptions of ``take`` and ``read``. Cancellation loses no bytes.
        """
        # Return the coroutine without awaiting it, so that an idle side needs one fewer coroutine.
        registration = Registration(fd, size, take, max_bytes, read, has_more)
        return self._wait(registration, select.EPOLLIN)

    async def wait_hangup(self, fd: int) -> bool:
        """Wait, without reading, until the client ends its stream. Return True after a reset."""
        registration = EventRegistration(fd)
        await self._wait(registration, select.EPOLLRDHUP)
        return bool(registration.events & select.EPOLLERR)

    async def wait_readable(self, fd: int) -> None:
        """Wait until a descriptor is readable, without reading it.

        A task in `trio.lowlevel.wait_readable` does not wake up while the reader task lingers. A
        task in this method does, and ends the lingering.
        """
        await self._wait(EventRegistration(fd), select.EPOLLIN)

    async def _wait(self, registration: Registration, events: int) -> None:
        registration.task = trio.lowlevel.current_task()
        self._epoll.register(registration.fd, events)
        self._registrations[registration.fd] = registration
        await trio.lowlevel.wait_task_rescheduled(partial(self._abort, registration))
        # The traceback of the failure refers to the registration and to this stack frame. If one of
        # these referred to the failure, the reference cycle would keep the pair in memory.
        failure, registration.failure = registration.failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            del failure

    def _abort(self, registration: Registration, _: object) -> trio.lowlevel.Abort:
        self._end(registration)
        return trio.lowlevel.Abort.SUCCEEDED

    def _end(self, registration: Registration) -> None:
        # If the descriptor has been closed, a new connection may have got the same number.
        if self._registrations.get(registration.fd) is registration:
            del self._registrations[registration.fd]
            with suppress(OSError):
                self._epoll.unregister(registration.fd)
