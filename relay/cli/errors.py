"""Error messages of the commands: one line each, on standard error."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from traceback import walk_tb
from typing import Final

from ..daemon.errors import escaped, os_error_text
from ..daemon.nonblocking_handler import NonBlockingHandler
from ..daemon.program import PROGRAM

PACKAGE: Final = Path(__file__).parents[1]

SHORTAGES: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
"""Error numbers for exhausted resources of the machine or the process."""


def print_error(problem: str) -> None:
    """Write an error message to standard error as one line, or drop it if writing would block."""
    NonBlockingHandler(sys.stderr).write(f"{PROGRAM}: {escaped(problem)}")


def output_failure(error: OSError) -> str:
    """Return the error message for a command that cannot write its output."""
    return f"cannot write to standard output: {os_error_text(error)}"


def shortage(error: BaseException) -> str:
    """Return the message for an error due to an exhausted resource; "" for any other error."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return os_error_text(error) if isinstance(error, OSError) and error.errno in SHORTAGES else ""


def describe_crash(error: BaseException) -> str:
    """Return the type of an unexpected exception, and its last traceback line in this package.

    The message of the exception is omitted, because it could quote client data.
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
