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
const cases = JSON.parse(require('fs').readFileSync(0));
const texts = cases.map((each) => qrCode(...each)?.map((row) => row.map(Number).join('')) ?? null);
console.log(JSON.stringify(texts));
"""
CAPACITIES = (14, 26, 42, 62, 84, 106, 122, 152, 180, 213)
"""Maximum number of bytes of each version, from 1 on, at level M (ISO/IEC 18004, table 7)."""

Rows = list[str]


def text_of(length: int) -> str:
    """Return a link of some length."""
    return f"https://relay.example/test#pair={'aZ09-_' * 40}"[:length]


def codes(*cases: tuple[str, *tuple[int, ...]]) -> list[Rows | None]:
    """Return the codes that the page makes; a case is a text, with a version and a mask or not."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    done = subprocess.run(
        [node, "-e", SOURCE + MAIN],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: list[Rows | None] = json.loads(done.stdout)
    return found


def reference(text: str, version: int, mask: int) -> Rows:
    """Return the code of the reference implementation."""
    segments = [QrSegment.make_bytes(text.encode())]
    code = QrCode.encode_segments(segments, QrCode.Ecc.MEDIUM, version, version, mask, False)
    size = range(code.get_size())
    return ["".join(str(int(code.get_module(x, y))) for x in size) for y in size]


def test_every_version_and_mask() -> None:
    """Every version has the same modules with every mask, full and with padding."""
    cases = [
        (text_of(length), version, mask)
        for version, capacity in enumerate(CAPACITIES, 1)
        for length in (capacity, capacity - 1, capacity // 2)
        for mask in range(8)
    ]
    for case, found in zip(cases, codes(*cases), strict=True):
        assert found == reference(*case), case


def test_smallest_version() -> None:
    """A text gets the smallest version that has room for it, and one of the eight masks."""
    texts = [text_of(capacity + extra) for capacity in CAPACITIES for extra in (0, 1)][:-1]
    versions = [1, *(version for version in range(2, 11) for _ in (0, 1))]
    for text, version, found in zip(
        texts, versions, codes(*((each,) for each in texts)), strict=True
    ):
        assert found in [reference(text, version, mask) for mask in range(8)]


def test_too_long() -> None:
    """A text of more than 213 bytes has no code."""
    assert codes((text_of(214),)) == [None]
