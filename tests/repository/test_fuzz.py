"""The inputs of proof/fuzz/corpus pass, and find faults; `python -m proof.fuzz` makes new ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from wsproto.frame_protocol import ParseFailed

from proof.fuzz.__main__ import CORPUS, NAMES, main
from proof.fuzz.targets import BOUNDS, TARGETS, WORDS, divided

INPUTS = sorted(CORPUS.glob("*/*"))


def test_corpus() -> None:
    """Every target has a corpus and words, and the corpus stays small."""
    assert set(NAMES) == set(TARGETS) == set(WORDS)
    assert sum(path.stat().st_size for path in INPUTS) < 100_000
    assert 30 <= len(INPUTS) <= 100


@pytest.mark.parametrize("name", NAMES)
def test_corpus_passes(name: str) -> None:
    """The parsers agree on all inputs, by the command that repeats a failure."""
    assert main([name, "--replay", *map(str, sorted((CORPUS / name).iterdir()))]) == 0


@pytest.mark.parametrize(
    ("target", "place", "fault"),
    [
        ("reframer", "relay.protocol.reframer.SHORT_HEADERS_OUT", (b"\x82\x00",) * 126),
        ("reframer", "relay.protocol.reframer.MEDIUM_HEADER_OUT", b"\x02\x7e"),
        ("reframer", "relay.protocol.reframer.validate_close_payload", bytes),
        ("request", "relay.protocol.request.OVERLAP", 0),
    ],
)
def test_corpus_finds_faults(
    target: str, place: str, fault: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input of the corpus fails after a fault was put into the relay."""
    monkeypatch.setattr(place, fault)
    with pytest.raises((AssertionError, ParseFailed)):
        main([target, "--replay", *map(str, (CORPUS / target).iterdir())])


def test_division() -> None:
    """The pieces of each division are the data, and the same each time."""
    data = bytes(range(100))
    for choice in range(256):
        assert b"".join(divided(data, choice)) == data
        assert divided(data, choice) == divided(data, choice)


def test_short_inputs(tmp_path: Path) -> None:
    """Every input is valid, also the shortest."""
    for size in range(4):
        path = tmp_path / str(size)
        path.write_bytes(bytes(size))
        for name in NAMES:
            assert main([name, "--replay", str(path)]) == 0
    assert len(BOUNDS) == 5
