"""Errors that prevent the start of a relay, and the text of error messages."""

from __future__ import annotations


class StartError(Exception):
    """Error that ends a command, for example because the relay cannot start.

    The message is one line with the operation and the cause.
    """


def escaped(text: str) -> str:
    """Replace each character that is not printable with an escape sequence.

    Names of variables and files may contain any byte, including line breaks and control characters
    on which a terminal would act.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def os_error_text(error: OSError) -> str:
    """Return the message of a failed system call."""
    return error.strerror or str(error)


def start_problem(error: OSError | ValueError, option: str) -> str:
    """Return the error message for a failed start or a failed reload of the token.

    ``error`` is an exception that `serve_relay` or the reload raised. A ValueError, or an OSError
    with a file name, concerns the token file. ``option`` is the flag or variable that named this
    file.
    """
    if isinstance(error, ValueError):
        return f"{option} {error}"
    if error.filename is None:
        return os_error_text(error)
    return f"cannot read {option} {error.filename!r}: {os_error_text(error)}"
