"""Links of the commands: choose the link, and make its QR code."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path

import segno

from ...client import Link
from ...client.link_file import create_link_file, read_link
from ...daemon.errors import StartError, os_error_text
from .options import LINK, ShareOptions
from .targets import error_prefix


def is_link(text: str) -> bool:
    """Return True if an argument is meant as a link, that is, a URL or ``@FILE``."""
    return text.startswith("@") or "://" in text


def find_link(argument: str | None) -> Link:
    """Return the link of a guest, from an argument or the variable. Raises ValueError."""
    text = argument or os.environ.get(LINK)
    if not text:
        raise ValueError(f"give the link, as LINK, @FILE or the variable {LINK}")
    if not is_link(text):
        raise ValueError("the link must be like wss://..., or @FILE for a file with the link")
    if not text.startswith("@"):
        return Link.parse(text)
    with error_prefix(f"cannot read the link in {text[1:]!r}"):
        return read_link(text[1:])


def choose_link(options: ShareOptions) -> Link:
    """Return the link of a host: the link in the file, or a new link, which the file then keeps.

    Raises ValueError if the options are not valid, and StartError if the file cannot be written.
    """
    path, old = options.link_file, None
    if path is None and options.new:
        raise ValueError("--new replaces the link in a file: give --link-file, too")
    if path is None:
        return new_link(options.via)
    try:
        if Path(path).exists():
            with error_prefix(f"cannot read --link-file {path!r}"):
                old = read_link(path)
        if old is None or options.new:
            link = new_link(options.via or (old.url if old else None))
            create_link_file(path, link, replace=old is not None)
            return link
    except OSError as error:
        raise StartError(f"cannot write --link-file {path!r}: {os_error_text(error)}") from None
    if options.via is not None and new_link(options.via).url != old.url:
        raise ValueError(
            f"{path!r} has another relay than --via: leave out --via, or make a new link with --new"
        )
    return old


def new_link(via: str | None) -> Link:
    """Return a new link for the URL of a relay. Raises ValueError."""
    if not via:
        raise ValueError("give the URL of the relay with --via, as in --via wss://relay.example/")
    with error_prefix("--via"):
        return Link.new(via)


def qr_code(text: str, columns: int) -> str:
    """Return the lines of the QR code of a text; "" if they are longer than ``columns``."""
    output = StringIO()
    code = segno.make(text, error="l", micro=False, boost_error=False)
    # The standard asks for a border of 4 modules, but phones need only 2.
    code.terminal(output, border=2, compact=True)
    lines = output.getvalue().splitlines()
    # White on black, in colors that the theme of the terminal does not change.
    code_lines = [f"\x1b[38;5;231;48;5;16m{line}\x1b[0m\n" for line in lines]
    return "".join(code_lines) if len(lines[0]) <= columns else ""
