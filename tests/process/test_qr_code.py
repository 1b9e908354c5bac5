"""The QR codes of the test page equal those of a reference implementation."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files

import pytest
from qrcodegen import QrCode, QrSegment

SOURCE = files("relay.server").joinpath("web", "qr_code.js").read_text()
MAIN = """
const texts = JSON.parse(require('fs').readFileSync(0));
const codes = texts.map((text) => qrCode(text).map((row) => row.map(Number).join('')));
console.log(JSON.stringify(codes));
"""
CAPACITIES = {2: 26, 3: 42, 4: 62, 5: 84, 6: 106}
"""Maximum number of bytes by version, at level M (ISO/IEC 18004, table 7)."""

MASK = 2

Rows = list[str]


def text_of(length: int) -> str:
    """Return a link of some length."""
    return f"https://relay.example/test#pair={'aZ09-_' * 40}"[:length]


def codes(*texts: str) -> list[Rows]:
    """Return the codes that the page makes."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    done = subprocess.run(
        [node, "-e", SOURCE + MAIN],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: list[Rows] = json.loads(done.stdout)
    return found


def reference(text: str) -> Rows:
    """Return the code of the reference implementation."""
    version = next(key for key, capacity in CAPACITIES.items() if len(text) <= capacity)
    segments = [QrSegment.make_bytes(text.encode())]
    code = QrCode.encode_segments(segments, QrCode.Ecc.MEDIUM, version, version, MASK, False)
    size = range(code.get_size())
    return ["".join(str(int(code.get_module(x, y))) for x in size) for y in size]


def test_every_length() -> None:
    """A text of every length has the same modules, in the smallest version with room for it."""
    texts = [text_of(length) for length in range(1, max(CAPACITIES.values()) + 1)]
    for text, found in zip(texts, codes(*texts), strict=True):
        assert found == reference(text), text


def test_too_long() -> None:
    """A text of more than 106 bytes has no code."""
    assert codes(text_of(107)) == [[]]
