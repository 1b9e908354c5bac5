"""Read the token that a client needs to start a new pair."""

from __future__ import annotations

import codecs
import re
import stat
from pathlib import Path
from typing import Final

from .regular_file import read_regular_file

MAX_SIZE: Final = 4096
"""Maximum size of a token file, in bytes. The token must fit into a request head."""

MIN_LENGTH: Final = 16
"""Number of characters below which a token counts as weak. 16 hexadecimal digits have 64 bits."""

TOKEN: Final = re.compile(rb"[!-~]+")
"""Syntax of a token: visible ASCII, as ``Authorization: Bearer`` and ``?token=`` permit."""

WIDE_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""Byte order marks of UTF-16. The first one also matches the longer mark of UTF-32-LE."""


def read_token(path: str) -> bytes:
    """Read the token from a file.

    Raises OSError if the file cannot be read, and ValueError if it does not contain exactly one
    token. The message has the path and the problem, but does not quote the content.
    """
    try:
        return token_in(read_regular_file(path, MAX_SIZE))
    except ValueError as error:
        raise ValueError(f"{path!r} {error}") from None


def token_weaknesses(path: str) -> list[str]:
    """Return the reasons why a stranger could guess or read the token in a file.

    Raises OSError or ValueError as `read_token` does.
    """
    found = []
    if len(read_token(path)) < MIN_LENGTH:
        found.append(f"it has fewer than {MIN_LENGTH} characters")
    if Path(path).stat().st_mode & stat.S_IROTH:
        found.append("every user of the machine can read its file")
    return found


def token_in(content: bytes) -> bytes:
    """Return the token in the content of a file, without byte order mark or outer white space.

    Raises ValueError if the content is not exactly one token. The message, such as "is empty", has
    no subject, so that the caller can put the path before it.
    """
    if content.startswith(WIDE_MARKS):
        raise ValueError("is in UTF-16; save it as plain ASCII")
    token = content.removeprefix(codecs.BOM_UTF8).strip()
    if not token:
        raise ValueError("is empty")
    if len(token.splitlines()) > 1:
        raise ValueError("has more than one line; the token must be alone in it")
    if not token.isascii():
        raise ValueError(
            "has a character that is not ASCII, which no client could send in a header"
        )
    if not is_token(token):
        raise ValueError("has a space or a control character inside the token")
    return token


def is_token(text: bytes) -> bool:
    """Return True if a client can send this text as a token."""
    return TOKEN.fullmatch(text) is not None
