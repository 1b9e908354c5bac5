"""Codes and keys as text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.client import codes


@given(st.binary(min_size=1, max_size=40))
def test_round_trip(data: bytes) -> None:
    """Bytes of any number have one text."""
    text = codes.encode(data)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    assert codes.decode(text, len(data)) == data


def test_new_code() -> None:
    """A new code has 128 random bits."""
    first, second = codes.new_code(), codes.new_code()
    assert first != second
    assert len(first) == codes.CODE_LENGTH
    assert len(codes.decode(first, codes.CODE_SIZE)) == codes.CODE_SIZE


def test_new_key() -> None:
    """A new key has 256 random bits."""
    first, second = codes.new_key(), codes.new_key()
    assert first != second
    assert len(first) == len(second) == codes.KEY_SIZE
    assert len(codes.encode(first)) == codes.KEY_LENGTH


@pytest.mark.parametrize(
    ("text", "size", "problem"),
    [
        ("", 16, "is missing"),
        ("A" * 21, 16, "has 21 characters instead of 22"),
        ("A" * 23, 16, "has 23 characters instead of 22"),
        ("A" * 42, 32, "has 42 characters instead of 43"),
        ("A" * 3, 3, "has 3 characters instead of 4"),
        ("A" * 42 + "=", 32, "has a character that is not a letter, a digit, - or _"),
        ("A" * 42 + "+", 32, "has a character that is not a letter, a digit, - or _"),
        ("A" * 42 + "\n", 32, "has a character that is not a letter, a digit, - or _"),
        ("A" * 42 + "é", 32, "has a character that is not a letter, a digit, - or _"),
        ("A" * 42 + "B", 32, "has a wrong last character"),
        ("A" * 21 + "B", 16, "has a wrong last character"),
    ],
)
def test_malformed(text: str, size: int, problem: str) -> None:
    """Another form of the same bytes, or another size, is refused."""
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        codes.decode(text, size)
