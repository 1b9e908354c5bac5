"""Links: URL of the relay, link code and link key."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.client.errors import EndpointError, InvalidLink
from relay.client.link import (
    CODE_SIZE,
    MAX_LINK,
    Link,
    decode_base64url,
    encode_base64url,
    new_code,
)
from relay.protocol.query import decode_code, find_parameters

KEY_TEXT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
KEY = bytes(range(32))
CODE = "canary-code"
LIKE = "it must be like wss://relay.example/?pair=CODE#k=KEY"
HOST_AND_PORT = "link must have a valid host and port"
INVISIBLE = "link has a space, a line break or an invisible character in it"

GOOD = [
    ("wss://relay.example/?pair=CODE", "wss://relay.example/", CODE),
    ("WSS://Relay.Example?pair=CODE", "wss://relay.example/", CODE),
    ("ws://relay.example:8765/a/b?pair=CODE", "ws://relay.example:8765/a/b", CODE),
    ("wss://relay.example:443/?pair=CODE", "wss://relay.example/", CODE),
    ("ws://127.0.0.1:1/?pair=CODE", "ws://127.0.0.1:1/", CODE),
    ("ws://[::1]:80/?pair=CODE", "ws://[::1]/", CODE),
    ("ws://[2001:DB8:0::1]/?pair=CODE", "ws://[2001:db8::1]/", CODE),
    ("ws://bücher.example/ü?pair=CODE", "ws://xn--bcher-kva.example/%C3%BC", CODE),
    ("wss://x/?a=1&pair=CODE&b&&c=%20", "wss://x/?a=1&b&c=%20", CODE),
    ("wss://x/?Pair=other&pair=CODE&token=t", "wss://x/?Pair=other&token=t", CODE),
    ("wss://x/?p%61ir=CODE", "wss://x/", CODE),
    ("wss://x/?pair=a+b%20c%2Bd", "wss://x/", "a b c+d"),
    ("wss://x/?pair=%", "wss://x/", "%"),
    ("wss://x/?pair=a=b", "wss://x/", "a=b"),
    ("wss://x/?pair=%C3%BC", "wss://x/", "ü"),
    ("wss://x/?pair=ü", "wss://x/", "ü"),
    ("wss://x/?pair=" + "%F0%9F%94%91" * 256, "wss://x/", "🔑" * 256),
]

BAD = [
    ("", "link must begin with wss:// or ws://"),
    ("relay.example/?pair=CODE#k=KEY", "link must begin with wss:// or ws://"),
    ("https://relay.example/?pair=CODE#k=KEY", "link must begin with wss:// or ws://"),
    ("wss:///?pair=CODE#k=KEY", HOST_AND_PORT),
    ("wss://relay.example:port/?pair=CODE#k=KEY", HOST_AND_PORT),
    ("wss://relay.example:65536/?pair=CODE#k=KEY", HOST_AND_PORT),
    ("wss://relay.example:0/?pair=CODE#k=KEY", HOST_AND_PORT),
    ("wss://[::1/?pair=CODE#k=KEY", HOST_AND_PORT),
    ("wss://[v1.x:y]/?pair=CODE#k=KEY", HOST_AND_PORT),
    ("wss://a,b/?pair=CODE#k=KEY", HOST_AND_PORT),
    (f"wss://{'x' * 70}.example/?pair=CODE#k=KEY", HOST_AND_PORT),
    (
        "wss://user:canary@relay.example/?pair=CODE#k=KEY",
        "link must not have a user name or a password",
    ),
    ("wss://relay.example/?pair=CO DE#k=KEY", INVISIBLE),
    ("wss://relay.example/?pair=CO\nDE#k=KEY", INVISIBLE),
    ("wss://relay.example/?pair=CODE#k=KEY KEY", INVISIBLE),
    ("wss://relay.example/?pair=CO\u200bDE#k=KEY", INVISIBLE),
    ("wss://relay.example/?pair=\udcff#k=KEY", INVISIBLE),
    ("wss://relay.example/#k=KEY", f"link has no pair code: {LIKE}"),
    ("wss://relay.example/?code=CODE#k=KEY", f"link has no pair code: {LIKE}"),
    ("wss://relay.example/?pair=CODE&pair=CODE#k=KEY", f"link has more than one pair code: {LIKE}"),
    ("wss://relay.example/?pair#k=KEY", "pair code must have 1 to 256 characters"),
    ("wss://relay.example/?pair=#k=KEY", "pair code must have 1 to 256 characters"),
    (
        f"wss://relay.example/?pair={'CODE' * 64}#k=KEY",
        "pair code must have 1 to 256 characters",
    ),
    ("wss://relay.example/?pair=CODE%FF#k=KEY", "pair code of the link is not UTF-8"),
    ("wss://relay.example/?pair=CODE", f"link has no key: {LIKE}"),
    (
        "wss://relay.example/?pair=CODE#",
        "link must have k=KEY, and nothing else, after the #",
    ),
    (
        "wss://relay.example/?pair=CODE#KEY",
        "link must have k=KEY, and nothing else, after the #",
    ),
    (
        "wss://relay.example/?pair=CODE#k=",
        "key of the link is missing: copy the whole link again",
    ),
    (
        "wss://relay.example/?pair=CODE#k=KEYA",
        "key of the link has 44 characters instead of 43: copy the whole link again",
    ),
    (
        f"wss://relay.example/?pair=CODE#k={KEY_TEXT[1:]}",
        "key of the link has 42 characters instead of 43: copy the whole link again",
    ),
    (
        f"wss://relay.example/?pair=CODE#k={KEY_TEXT[:-1]}9",
        "key of the link has a wrong last character: copy the whole link again",
    ),
    (
        "wss://relay.example/?pair=CODE#k=KEY&x=1",
        (
            "key of the link has a character that is not a letter, a digit, - or _: "
            "copy the whole link again"
        ),
    ),
    (
        f"wss://relay.example/{'x' * MAX_LINK}?pair=CODE#k=KEY",
        "link is longer than 8192 characters",
    ),
]

NOT_A_RELAY = [
    ("relay.example", "relay URL must begin with wss:// or ws:// or https:// or http://"),
    ("wss://", "relay URL must have a valid host and port"),
    (
        "wss://x/#canary",
        "relay URL must not have a fragment: leave out the # and all after",
    ),
    (
        "wss://x/?pair=canary",
        "relay URL must not have a pair code: a new link gets a new one",
    ),
    (
        "wss://x/?a&t%6Fken=canary",
        "relay URL must not have a token: every guest would get it",
    ),
]


def filled(text: str) -> str:
    """Return a URL with the code and the key in place of their names."""
    return re.sub(r"(?<=[?&=])CODE", CODE, text).replace("KEY", KEY_TEXT)


@pytest.mark.parametrize(("address", "url", "code"), GOOD)
def test_parse(address: str, url: str, code: str) -> None:
    """A link is parsed, and its text is parsed to the same link."""
    link = Link.parse(f"  {filled(address)}#k={KEY_TEXT}\r\n")
    assert link == Link(url, code, KEY)
    assert link.text.isascii()
    assert Link.parse(link.text) == link


@pytest.mark.parametrize(("text", "problem"), BAD)
def test_invalid_link(text: str, problem: str) -> None:
    """An invalid link is refused in one line that does not quote it."""
    with pytest.raises(InvalidLink) as caught:
        Link.parse(filled(text))
    assert str(caught.value) == problem
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, EndpointError)


@given(st.text(), st.text())
def test_any_text(text: str, fragment: str) -> None:
    """Any text is a link or not, and never another error."""
    for each in (text, f"wss://x/?pair={text}#k={KEY_TEXT}", f"wss://x/?pair=a#{fragment}"):
        try:
            link = Link.parse(each)
        except InvalidLink:
            continue
        assert Link.parse(link.text) == link


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256))
def test_code_for_the_relay(code: str) -> None:
    """The relay and the parser of links read any code from the text of its link."""
    link = Link("wss://relay.example/?a=1", code, KEY)
    assert Link.parse(link.text) == link
    target = urlsplit(link.text)
    parameters = find_parameters(f"{target.path}?{target.query}".encode())
    assert parameters is not None
    assert decode_code(parameters[b"pair"]) == code


def test_request_url() -> None:
    """The URL of a request has the code, and the further parameters of the link."""
    link = Link.parse(f"wss://relay.example/a?x=1&pair=link&y=2#k={KEY_TEXT}")
    assert link.request_url("a b/ü") == "wss://relay.example/a?pair=a%20b%2F%C3%BC&x=1&y=2"
    assert link.text == f"wss://relay.example/a?pair=link&x=1&y=2#k={KEY_TEXT}"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("wss://relay.example", "wss://relay.example/"),
        (" https://Relay.example:8443/a?x=1\n", "wss://relay.example:8443/a?x=1"),
        ("http://[::1]:8765/", "ws://[::1]:8765/"),
    ],
)
def test_new(url: str, expected: str) -> None:
    """A new link has a code and a key of its own."""
    first, second = Link.new(url), Link.new(url)
    assert first.url == second.url == expected
    assert first.code != second.code
    assert first.key != second.key
    assert len(first.code) == 22
    assert Link.parse(first.text) == first


@pytest.mark.parametrize(("url", "problem"), NOT_A_RELAY)
def test_invalid_relay_url(url: str, problem: str) -> None:
    """An invalid relay URL is refused in one line that does not quote it."""
    with pytest.raises(InvalidLink) as caught:
        Link.new(url)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    "url",
    [
        "wss://x",
        "https://x/",
        "wss://x/#",
        "wss://x/?",
        "wss://x/?pair=a",
        "WSS://x/",
        "wss://x:443/",
        "",
    ],
)
def test_url_in_another_form(url: str) -> None:
    """A link that a program makes has its URL in the form that `Link.parse` gives it."""
    with pytest.raises(InvalidLink, match=r"^relay URL must "):
        Link(url, CODE, KEY)


@pytest.mark.parametrize("code", ["", "x" * 257, "\ud800"])
def test_invalid_code(code: str) -> None:
    """A link that a program makes has a code that the relay accepts."""
    with pytest.raises(InvalidLink, match=r"^pair code must "):
        Link("wss://x/", code, KEY)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_invalid_key(size: int) -> None:
    """A link that a program makes has a key of 32 bytes."""
    with pytest.raises(InvalidLink, match=r"^key of a link must have 32 bytes$"):
        Link("wss://x/", CODE, bytes(size))


def test_secrets_are_not_shown() -> None:
    """The representation of a link shows neither its query nor its key."""
    link = Link.parse(f"wss://relay.example/a?token=canary&pair={CODE}#k={KEY_TEXT}")
    assert f"{link} {link!r}" == "<Link wss://relay.example/a> <Link wss://relay.example/a>"


@given(st.binary(min_size=1, max_size=40))
def test_base64url(data: bytes) -> None:
    """Bytes of any number have one text."""
    text = encode_base64url(data)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    assert decode_base64url(text, len(data)) == data


def test_new_code() -> None:
    """A new code has 128 random bits."""
    first, second = new_code(), new_code()
    assert first != second
    assert len(decode_base64url(first, CODE_SIZE)) == CODE_SIZE == 16


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
def test_malformed_base64url(text: str, size: int, problem: str) -> None:
    """Another form of the same bytes, or another size, is refused."""
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        decode_base64url(text, size)
