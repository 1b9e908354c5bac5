"""Copy bytes between a session and a local stream.

A session and a stream both raise trio.BrokenResourceError if they fail. To distinguish the two
failures, the functions of this module raise the EndpointError of a session that fails, and
InputFailed or OutputFailed if the local stream fails.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import trio

from ...client.errors import EndpointError
from ...client.session import Session

PIECE: Final = 256 * 1024
"""Maximum number of bytes to read at once."""


class InputFailed(Exception):
    """Reading from the local stream failed. The cause is the OSError, if there is one."""


class OutputFailed(Exception):
    """Writing to the local stream failed. The cause is the OSError, if there is one."""


async def copy_to_session(local: trio.abc.ReceiveStream, session: Session) -> None:
    """Copy the local stream to the session until the end, then end the stream of the session."""
    with session_errors(session):
        while data := await receive(local):
            await session.send_all(data)
        await session.send_eof()


async def copy_from_session(session: Session, local: trio.abc.HalfCloseableStream) -> None:
    """Copy the session to the local stream until the end, then end the local stream."""
    with session_errors(session):
        while data := await session.receive_some(PIECE):
            with output_errors():
                await local.send_all(data)
    with output_errors():
        await local.send_eof()


async def copy_both(session: Session, local: trio.abc.HalfCloseableStream) -> None:
    """Copy in both directions, until both streams have ended.

    OutputFailed ends only one direction and is not raised, because a local program may close its
    input and continue to write output.
    """

    async def write() -> None:
        with suppress(OutputFailed):
            await copy_from_session(session, local)

    async def read() -> None:
        await copy_to_session(local, session)

    await run_both(write, read)


async def run_both(*tasks: Callable[[], Awaitable[None]]) -> None:
    """Run tasks at the same time. Raise the first failure unchanged, without an exception group."""
    failures: list[Exception] = []

    async def run(task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except (EndpointError, InputFailed, OutputFailed) as error:
            failures.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for task in tasks:
            nursery.start_soon(run, task)
    try:
        if failures:
            raise failures[0]
    finally:
        failures.clear()  # no reference cycle keeps the data in the frames of the tasks


async def receive(local: trio.abc.ReceiveStream) -> bytes | bytearray:
    """Receive from a local stream. Raises InputFailed if the stream fails."""
    try:
        return await local.receive_some(PIECE)
    except trio.BrokenResourceError as error:
        raise InputFailed from error.__cause__


@contextmanager
def output_errors() -> Iterator[None]:
    """Turn the failure of a local stream into OutputFailed."""
    try:
        yield
    except trio.BrokenResourceError as error:
        raise OutputFailed from error.__cause__


@contextmanager
def session_errors(session: Session) -> Iterator[None]:
    """Turn the failure of a session into its EndpointError."""
    try:
        yield
    except trio.BrokenResourceError as error:
        raise session.error or error from None
