"""Errors of the command line, and their one line on standard error."""

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
"""Errors of a machine or a process that has too few resources."""


class StartError(typer.TyperException):
    """What cannot be done and why, in one line for the person who runs the relay."""


def print_error(problem: str) -> None:
    """Write one line to standard error; if that takes no line at once, the line is lost."""
    NonBlockingHandler(sys.stderr).write(f"{PROGRAM}: {escaped(problem)}")


def escaped(text: str) -> str:
    """Return text with an escape sequence in place of each character that a terminal may act on.

    The names of variables and of files are bytes of any kind, line breaks among them.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def os_error_text(error: OSError) -> str:
    """Return in words why a call failed."""
    return error.strerror or str(error)


def output_failure(error: OSError) -> str:
    """Return the problem of a command that could not write its output."""
    return f"cannot write to standard output: {os_error_text(error)}"


def start_problem(error: OSError | ValueError) -> str:
    """Return why a relay could not start, or load its token again, in words.

    Of the errors of `serve_relay`, those about a file, and each ValueError, are about the token.
    """
    if isinstance(error, ValueError):
        return f"--token-file {error}"
    if error.filename is None:
        return os_error_text(error)
    return f"cannot read --token-file {error.filename!r}: {os_error_text(error)}"


def shortage(error: BaseException) -> str:
    """Return which resource a failure is for want of, in words; "" if it has another reason."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return os_error_text(error) if isinstance(error, OSError) and error.errno in SHORTAGES else ""


def describe_crash(error: BaseException) -> str:
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
