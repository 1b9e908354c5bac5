"""How the parts of the command line say what is wrong."""

from __future__ import annotations

from pathlib import Path
from traceback import walk_tb
from typing import Final

import typer

__all__ = ["Complaint", "blame", "reason"]

PACKAGE: Final = Path(__file__).parents[1]


class Complaint(typer.TyperException):
    """What cannot be done and why, in one line for the person who runs the relay."""


def reason(error: OSError) -> str:
    """Return in words why a call failed."""
    return error.strerror or str(error)


def blame(error: BaseException) -> str:
    """Return the kind of a failure that nobody foresaw, and its place in this program.

    Its message is left out: it could quote a client.
    """
    places = ["an unknown place"]
    while True:
        for frame, line in walk_tb(error.__traceback__):
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(PACKAGE):
                places.append(f"{path.relative_to(PACKAGE.parent)}:{line}")
        if not isinstance(error, BaseExceptionGroup):
            return f"{type(error).__name__} at {places[-1]}"
        error = error.exceptions[0]
