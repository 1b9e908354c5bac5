"""Find the link of `arc-relay pipe` and `arc-relay forward`."""

from __future__ import annotations

import os
from typing import Final

from ...client.link import Link
from ...client.link_file import read_link
from ...daemon.errors import os_error_text
from ..options import WrongUsage
from .variables import LINK

FILE: Final = "@"
"""Prefix of an argument that is the path of a file with a link."""


def is_link(text: str) -> bool:
    """Return True if an argument is meant as a link, that is, a URL or ``@FILE``."""
    return text.startswith(FILE) or "://" in text


def find_link(argument: str | None) -> Link:
    """Return the link from an argument. Without argument, use the variable ARC_RELAY_LINK.

    Raises WrongUsage if there is no link, or if the link is not valid. The message does not quote
    the link.
    """
    text = argument or os.environ.get(LINK)
    if not text:
        raise WrongUsage(f"give the link, as LINK, @FILE or the variable {LINK}")
    if not is_link(text):
        raise WrongUsage("the link must be like wss://..., or @FILE for a file with the link")
    try:
        return open_link(text.removeprefix(FILE)) if text.startswith(FILE) else Link.parse(text)
    except ValueError as error:
        raise WrongUsage(str(error)) from None


def open_link(path: str) -> Link:
    """Read a link from a file. If this fails, raise ValueError with the path and the problem."""
    try:
        return read_link(path)
    except OSError as error:
        raise ValueError(f"cannot read the link in {path!r}: {os_error_text(error)}") from None
