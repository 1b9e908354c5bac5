"""Pair code in the target of a request."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.protocol.handshake import Handshake
from relay.protocol.query import MAX_CODE, decode_code, find_parameters
from tests.support.raw_client import upgrade_request
from tests.support.requests import handshake_of, parsed, refused


def pair_code(target: bytes) -> str | None:
    """Return the pair code in a request target."""
    parameters = find_parameters(target)
    assert parameters is not None
    return decode_code(parameters.get(b"pair"))


INVALID = (400, "missing or invalid pair code")
NOT_PLAIN = (400, "pair code must be plain and given once")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("pair=code", "code"),
        ("x=1&pair=code&y", "code"),
        ("&&pair=code", "code"),
        ("pair=first&pair=second", "first"),
        ("pair=a+b", "a b"),
        ("pair=a%2Bb", "a+b"),
        ("pair=%20", " "),
        ("pair=a%26b%3dc", "a&b=c"),
        ("pair=a=b", "a=b"),
        ("pair=a;b?c", "a;b?c"),
        ("pair=%00", "\0"),
        ("pair=%zz", "%zz"),
        ("pair=gr%C3%BC%c3%9fe", "grüße"),
        ("p%61ir=code", "code"),
        ("pair=code#part", "code"),
        ("pair=" + "x" * MAX_CODE, "x" * MAX_CODE),
        ("pair=" + quote("😀" * MAX_CODE), "😀" * MAX_CODE),
    ],
)
def test_pair_code(query: str, code: str) -> None:
    """The code is the first pair parameter, decoded; its length is counted in characters."""
    assert pair_code(f"/path?{query}".encode()) == code


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/?",
        "/pair=code",
        "/?pair",
        "/?pair=",
        "/?pair=&pair=code",
        "/?Pair=code",
        "/?pairs=code",
        "/?pai=code",
        "/?x#&pair=code",
        "/?pair=%ff",
        "/?pair=%c3",
        "/?pair=%ed%a0%80",
        "/?pair=%c0%80",
        "/?pair=%ff&pair=code",
        "/?pair=" + "x" * (MAX_CODE + 1),
        "/?pair=" + quote("😀" * (MAX_CODE + 1)),
    ],
)
def test_no_pair_code(target: str) -> None:
    """A code that is absent, empty, too long or not UTF-8 is refused, whatever follows it."""
    assert pair_code(target.encode()) is None
    assert refused(upgrade_request(target)) == INVALID


@given(st.lists(st.tuples(st.sampled_from(["pair", "x", "é"]), st.text(max_size=300)), max_size=4))
def test_pair_code_is_found_as_in_any_query(parameters: list[tuple[str, str]]) -> None:
    """In any query, the first pair parameter is the code."""
    query = urlencode(parameters)
    codes = [value for name, value in parse_qsl(query, keep_blank_values=True) if name == "pair"]
    expected = codes[0] if codes and 0 < len(codes[0]) <= MAX_CODE else None
    assert pair_code(f"/?{query}".encode()) == expected


# Strict codes.


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("pair=code", "code"),
        ("pair=AZaz09._~-", "AZaz09._~-"),
        ("x=%ff&pair=code&token=a%2Bb", "code"),
        ("pairs=x&pair=code", "code"),
        ("pair=" + "x" * MAX_CODE, "x" * MAX_CODE),
    ],
)
def test_strict_code(query: str, code: str) -> None:
    """A code of plain characters that is given once is strict, whatever surrounds it."""
    assert handshake_of(upgrade_request(f"/?{query}"), strict_codes=True).code == code


@pytest.mark.parametrize(
    "query",
    [
        "pair=a+b",
        "pair=a%62",
        "pair=%61",
        "pair=%zz",
        "pair=gr%C3%BC%c3%9fe",
        "pair=a=b",
        "pair=a/b",
        "pair=a;b",
        "pair=a?b",
        "pair=a%00",
        "pair=code#part",
        "pair=code&x#y",
        "pair=code&pair=code",
        "pair=code&pair=other",
        "pair=code&pair",
        "pair=code&p%61ir=other",
        "pair=code&%70%61%69%72=other",
        "pair=code&PAIR=other",
        "x;pair=other&pair=code",
        "p%61ir=code",
        "x#&pair=other&pair=code",
    ],
)
def test_code_that_is_not_plain(query: str) -> None:
    """Strict codes exclude every target in which another parser might find another code."""
    head = upgrade_request(f"/?{query}")
    expected = INVALID if pair_code(f"/?{query}".encode()) is None else NOT_PLAIN
    assert refused(head, strict_codes=True) == expected
    if expected is NOT_PLAIN:
        assert handshake_of(head).code


@pytest.mark.parametrize(("parameters", "plain"), [(99, True), (100, True), (101, False)])
def test_strict_codes_and_semicolons(parameters: int, plain: bool) -> None:
    """With strict codes, semicolons separate parameters too."""
    head = upgrade_request("/?pair=code&x" + ";" * (parameters - 2))
    if plain:
        assert handshake_of(head, strict_codes=True).code == "code"
    else:
        assert refused(head, strict_codes=True) == NOT_PLAIN
    assert handshake_of(head).code == "code"


def test_strict_codes_and_fragments() -> None:
    """With strict codes, a target whose query may belong to a fragment is refused."""
    assert refused(upgrade_request("/#?pair=code"), strict_codes=True) == NOT_PLAIN


@pytest.mark.parametrize("query", ["", "pair", "pair=", "Pair=code", "pair=%ff", "pair=&pair=code"])
def test_missing_code_is_missing_before_it_is_strict(query: str) -> None:
    """With strict codes, a missing or invalid code is still reported as such."""
    assert refused(upgrade_request(f"/?{query}"), strict_codes=True) == INVALID


@given(st.text(st.sampled_from("pairPAIR=&;#?%706+c-"), max_size=20))
def test_strict_code_is_the_code_of_every_reader(query: str) -> None:
    """A strict code is found without decoding, from either end, in any case."""
    query = f"x&{query}&pair=c-"
    handshake = parsed(upgrade_request(f"/?{query}"), strict_codes=True)
    if not isinstance(handshake, Handshake):
        return
    found = [
        item.partition("=")[2]
        for item in query.replace(";", "&").split("&")
        if item.lower().startswith("pair=")
    ]
    assert found == [handshake.code] == ["c-"]
