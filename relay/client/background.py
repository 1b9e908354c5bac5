"""Run a task for the duration of a ``with`` block, without exception groups."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

T = TypeVar("T")


@asynccontextmanager
async def background(function: Callable[..., Awaitable[object]], *args: object) -> AsyncIterator[T]:
    """Start a task, yield the value that it reports, and cancel it after the block.

    An exception from the start or from the block is raised unchanged. A nursery alone would wrap
    the exception in a group.
    """
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield await nursery.start(function, *args)
            except BaseException as error:  # noqa: BLE001 - raised below
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
    finally:
        del failure
