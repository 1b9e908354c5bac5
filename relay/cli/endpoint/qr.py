"""QR code of a link, as text for a terminal. Pure."""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

import segno

BORDER: Final = 2
"""Width, in modules, of the light border. The standard asks for 4, but phones need only 2."""

COLORS: Final = "\x1b[38;5;16;48;5;231m"
"""Escape sequence for black on white, in colors that the theme of the terminal does not change."""

RESET: Final = "\x1b[0m"
HALVES: Final = {(0, 0): " ", (0, 1): "▄", (1, 0): "▀", (1, 1): "█"}
"""Character for an upper and a lower module; 1 is a dark module."""


def qr_code(text: str, columns: int) -> str | None:
    """Return the QR code of a text. Each line shows two rows of modules.

    Returns None if the code is wider than ``columns`` characters.
    """
    code = segno.make(text, error="l", micro=False, boost_error=False)
    rows = [[int(dark) for dark in row] for row in code.matrix_iter(border=BORDER)]
    width = len(rows[0])
    if width > columns:
        return None
    pairs = zip_longest(rows[::2], rows[1::2], fillvalue=[0] * width)
    lines = ("".join(map(HALVES.__getitem__, zip(*pair, strict=True))) for pair in pairs)
    return "\n".join(f"{COLORS}{line}{RESET}" for line in lines)
