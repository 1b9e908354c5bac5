"""Registrations of descriptors in the epoll reader, each for one sleeping task."""

from __future__ import annotations

import os
from collections.abc import Callable

import trio

from .read_size import ReadSize

Take = Callable[[bytes], bool]
Read = Callable[[int], bytes]


class Registration:
    """A registered descriptor, the function that receives the bytes, and the task to wake."""

    __slots__ = ("_max_bytes", "_read", "_take", "failure", "fd", "has_more", "size", "task")

    task: trio.lowlevel.Task

    def __init__(  # noqa: PLR0913, PLR0917 - see `EpollReader.read_until`
        self,
        fd: int,
        size: ReadSize,
        take: Take,
        max_bytes: int,
        read: Read | None,
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
        """Read once. Return True if the task must wake up, or None if no bytes were available."""
        try:
            size, limit, read = self.size.bytes, self._max_bytes, self._read
            size = size if size < limit else limit  # noqa: FURB136 - half the time
            return self._take(os.read(self.fd, size) if read is None else read(size))
        except BlockingIOError:  # readiness is a hint, and a TLS record may be incomplete
            return None
        except Exception as failure:  # noqa: BLE001 - the waiting task raises it
            self.failure = failure
            return True


class EventRegistration(Registration):
    """A registered descriptor that is not read. Its first epoll event wakes the task."""

    __slots__ = ("events",)

    def __init__(self, fd: int) -> None:
        super().__init__(fd, ReadSize(), bool, 0, bytes, None)
        self.events = 0

    def read_once(self, events: int) -> bool:
        self.events = events
        return True
