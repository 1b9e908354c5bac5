"""Objects of the relay that only the cyclic garbage collector could free.

The program runs that collector rarely. Every object that only it can free adds memory for each
connection of a hostile client.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from types import CoroutineType, FrameType, TracebackType
from typing import Final

__all__ = ["LARGE", "no_cycles"]

LARGE: Final = 4096
"""Minimum size of a value that can only be client data."""


def module_of(thing: object) -> str:
    """Return the name of the module that a frame runs, or that defines a type."""
    match thing:
        case FrameType():
            return str(thing.f_globals["__name__"])
        case TracebackType():
            return module_of(thing.tb_frame)
        case CoroutineType():
            return "" if thing.cr_frame is None else module_of(thing.cr_frame)
        case _:
            return type(thing).__module__


def is_ours(thing: object) -> bool:
    """Return True if the relay or h11 made an object, or if it refers to a large value."""
    return module_of(thing).partition(".")[0] in {"relay", "h11"} or any(
        isinstance(value, bytes | bytearray | str) and len(value) > LARGE
        for value in gc.get_referents(thing)
    )


@contextmanager
def no_cycles() -> Iterator[None]:
    """Assert that the block leaves no object of the relay to the collector."""
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [(type(thing), module_of(thing)) for thing in gc.garbage if is_ours(thing)]
        assert not left
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
