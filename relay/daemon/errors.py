"""Errors of the command line, and their one-line messages on standard error."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from traceback import walk_tb
from typing import Final

import typer

from .nonblocking_handler import NonBlockingHandler
from .program import PROGRAM

__all__ = [
    "StartError",
    "describe_crash",
    "escaped",
    "os_error_text",
    "output_failure",
    "print_error",
    "shortage",
    "start_problem",
]

PACKAGE: Final = Path(__file__).parents[1]

SHORTAGES: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
"""Error numbers of exhausted resources, of the machine or of the process."""


class StartError(typer.TyperException):
    """A relay cannot start; the message is one line with the operation and the cause."""


def print_error(problem: str) -> None:
    """Write one line to standard error without blocking; the line is lost if it does not fit."""
    NonBlockingHandler(sys.stderr).write(f"{PROGRAM}: {escaped(problem)}")


def escaped(text: str) -> str:
    """Replace each character that is not printable by an escape sequence.

    A terminal acts on control characters. Names of variables and files may contain any byte,
    including line breaks.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def os_error_text(error: OSError) -> str:
    """Return the message of a failed system call."""
    return error.strerror or str(error)


def output_failure(error: OSError) -> str:
    """Return the error message of a command that cannot write its output."""
    return f"cannot write to standard output: {os_error_text(error)}"


def start_problem(error: OSError | ValueError) -> str:
    """Return the error message for a failed start or a failed reload of the token.

    Among the errors of `serve_relay`, each ValueError and each OSError with a file name concerns
    the token file.
    """
    if isinstance(error, ValueError):
        return f"--token-file {error}"
    if error.filename is None:
        return os_error_text(error)
    return f"cannot read --token-file {error.filename!r}: {os_error_text(error)}"


def shortage(error: BaseException) -> str:
    """Return the error message if a resource is exhausted; "" for any other failure."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return os_error_text(error) if isinstance(error, OSError) and error.errno in SHORTAGES else ""


def describe_crash(error: BaseException) -> str:
    """Return the type of an unexpected exception, and the file and line that raised it.

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
