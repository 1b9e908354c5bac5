"""QR code of a link, as text for a terminal. Pure."""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

import segno

BORDER: Final = 2
"""Light modules around the code. The standard asks for 4, and scanners of phones need 2."""

COLORS: Final = "\x1b[38;5;16;48;5;231m"
"""Black on white, as fixed colours, which themes of terminals do not change."""

RESET: Final = "\x1b[0m"
HALVES: Final = {(0, 0): " ", (0, 1): "▄", (1, 0): "▀", (1, 1): "█"}
"""Character for two modules, one above the other, of which 1 is dark."""


def qr_code(text: str, columns: int) -> str | None:
    """Return the QR code of a text, two rows of modules a line.

    Returns None if the code is wider than ``columns``.
    """
    code = segno.make(text, error="l", micro=False, boost_error=False)
    rows = [[int(dark) for dark in row] for row in code.matrix_iter(border=BORDER)]
    width = len(rows[0])
    if width > columns:
        return None
    pairs = zip_longest(rows[::2], rows[1::2], fillvalue=[0] * width)
    lines = ("".join(map(HALVES.__getitem__, zip(*pair, strict=True))) for pair in pairs)
    return "\n".join(f"{COLORS}{line}{RESET}" for line in lines)
