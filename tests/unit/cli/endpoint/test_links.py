"""Links of hosts in files, and QR codes of links."""

from __future__ import annotations

import re
from pathlib import Path

import segno

from relay.cli.endpoint.links import choose_link, qr_code
from relay.cli.endpoint.options import ShareOptions

LINK = "wss://relay.example/?pair=" + 22 * "x" + "#k=" + 43 * "y"
DARK = {"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}


def test_modules() -> None:
    """The halves of the characters are the modules of the code, with a light border around it."""
    code = qr_code(LINK, 80)
    lines = [re.fullmatch(r"\x1b\[[0-9;]+m(.*)\x1b\[0m", it) for it in code.splitlines()]
    text = [it[1] for it in lines if it]
    assert len(text) == len(lines)
    rows = [[DARK[char][half] for char in line] for line in text for half in (0, 1)]
    expected = [list(row) for row in segno.make(LINK, error="l", boost_error=False).matrix]
    size = len(expected)
    assert [row[2 : size + 2] for row in rows[2 : size + 2]] == expected
    rows = rows[: size + 4]  # the last line has only one row
    border = rows[:2] + rows[size + 2 :] + [row[:2] + row[size + 2 :] for row in rows]
    assert not any(any(row) for row in border)


def test_width() -> None:
    """A terminal that is too narrow gets no code."""
    code = qr_code(LINK, 80)
    width = len(code.splitlines()[0]) - len("\x1b[38;5;231;48;5;16m\x1b[0m")
    assert width <= 50
    assert qr_code(LINK, width) == code
    assert qr_code(LINK, width - 1) == ""


def test_link_of_another_program(tmp_path: Path) -> None:
    """A host uses each link that a guest can use, also if `share` would not make such a link."""
    path = tmp_path / "link"
    path.write_text(LINK.replace("?pair", "?token=x&pair")[:-1] + "A")
    path.chmod(0o600)
    assert choose_link(ShareOptions(link_file=str(path))).url == "wss://relay.example/?token=x"
