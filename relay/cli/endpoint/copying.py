"""Copy bytes between a session and a local stream, in both directions at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import trio

from ...client import EndpointError, Session
from ...server.exception_groups import leaves
from .standard_io import StandardIO, StandardStreamFailed
from .status import is_failure

PIECE: Final = 256 * 1024  # maximum number of bytes to read at once

LocalStream = trio.abc.HalfCloseableStream | StandardIO


class LocalStreamFailed(Exception):
    """A local stream other than standard input and output failed. The message has the cause."""


@contextmanager
def ignore_close(local: object) -> Iterator[None]:
    """Ignore that the peer closes the session once the whole standard output was written."""
    try:
        yield
    except EndpointError as error:
        is_complete = isinstance(local, StandardIO) and local.is_output_complete
        if is_failure(error) or not is_complete:
            raise


async def copy_both(
    session: Session, local: LocalStream, process: trio.Process | None = None
) -> None:
    """Copy in both directions until both streams, or ``process`` and its output, have ended.

    If writing to ``local`` fails with LocalStreamFailed, only this direction ends, because a local
    program may close its input and continue to write output.

    Raises EndpointError, LocalStreamFailed or StandardStreamFailed, not in an exception group.
    """
    failure: BaseException | None = None

    async def write() -> None:
        with suppress(LocalStreamFailed):
            await copy(session, local)

    async def read() -> None:
        await copy(local, session)
        if process is not None:
            await process.wait()
            nursery.cancel_scope.cancel()

    try:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                nursery.start_soon(read)
        except* (EndpointError, LocalStreamFailed, StandardStreamFailed) as group:
            failure = next(leaves(group))
        if failure is not None:
            raise failure
    finally:
        failure = None  # no reference cycle keeps the data in the frames of the tasks


async def copy(source: Session | LocalStream, sink: Session | LocalStream) -> None:
    """Copy a stream to another stream until its end, then end the other stream.

    Raises EndpointError if the session fails, and LocalStreamFailed if the other stream fails.
    """
    try:
        while data := await source.receive_some(PIECE):
            await sink.send_all(data)
        await sink.send_eof()
    except trio.BrokenResourceError as error:
        cause = error.__cause__
        if isinstance(cause, EndpointError):
            raise cause from None
        raise LocalStreamFailed(getattr(cause, "strerror", None) or "it was closed") from None
