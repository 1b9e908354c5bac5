"""The regular expression parses common heads, h11 all others, with the same result."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.protocol.request import (
    PROXY_V1,
    PROXY_V2,
    Request,
    RequestParser,
    parse_head,
    parse_with_h11,
)
from relay.protocol.response import MAX_FIELDS, NOT_HTTP, PROXY_PROTOCOL, TOO_MANY_FIELDS, Response
from tests.support.request_comparison import by_expression, by_h11, check_both_paths
from tests.support.requests import UPGRADE, plain, with_lines

LINES = [
    b"Host: relay\r\n",
    b"host:relay\r\n",
    b"Upgrade: websocket\r\n",
    b"X-Empty:\r\n",
    b"X-Spaces:   a  b   \r\n",
    b"X-Tabs:\ta\tb\t\r\n",
    b"X-Folded: a\r\n b\r\n",
    b"X-Latin: \xe9\r\n",
    b"X-Utf8: \xe6\x9a\x97 \xe3\x81\x84 \r\n",
    b"X-Byte: \x80\x85\xa0\xff\r\n",
    b"X-Odd: \x01\x0b\x7f\r\n",
    b"\xe9: a\r\n",
    b"X-Nul: \x00\r\n",
    b"X Space: a\r\n",
    b"X-Space : a\r\n",
    b" X-First: a\r\n",
    b"!#$%&'*+-.^_`|~09azAZ: a:b: c\r\n",
    b"(bad): a\r\n",
    b": no name\r\n",
    b"no colon\r\n",
    b"Bare: a\n",
    b"Bare: a\rb\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"CONTENT-LENGTH: nonsense\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
]
FIRST_LINES = [
    b"GET /?pair=code HTTP/1.1\r\n",
    b"GET * HTTP/1.1\r\n",
    b"GET /\x7f HTTP/1.1\r\n",
    b"GET /\xe9 HTTP/1.1\r\n",
    b"GET / HTTP/1.0\r\n",
    b"GET / HTTP/1.1\n",
    b"GET  / HTTP/1.1\r\n",
    b"GET / HTTP/1.1 \r\n",
    b"get / HTTP/1.1\r\n",
    b"POST / HTTP/1.1\r\n",
    b"GET /a b HTTP/1.1\r\n",
]


@pytest.mark.parametrize(
    "line", ["X: y", "X: a\tb", "cf-ipcity: S\u00e3o Paulo", "Cookie: t=\u6697\u3044"]
)
def test_common_heads_take_the_fast_path(line: str) -> None:
    """The regular expression parses the heads of clients and of the proxies in front of them."""
    head = with_lines(UPGRADE, line)
    request = by_expression(head)
    assert request is not None
    assert request == parse_with_h11(head)


@pytest.mark.parametrize(
    "head",
    [
        with_lines(UPGRADE, "Content-Length: 0"),
        with_lines(UPGRADE, "Transfer-Encoding: chunked"),
        with_lines(UPGRADE, "Host: another"),
        UPGRADE.replace(b"host", b"toast"),
        UPGRADE.replace(b"\r\n", b"\n"),
        plain("/health", "POST"),
    ],
)
def test_unusual_heads_are_left_to_h11(head: bytes) -> None:
    """h11 parses each head in which more than the form of a line matters."""
    assert by_expression(head) is None


@given(st.sampled_from(FIRST_LINES), st.lists(st.sampled_from(LINES)), st.binary(max_size=9))
@example(FIRST_LINES[0], [LINES[0]], b"\r\n")
def test_fast_path_agrees_with_h11(first: bytes, lines: list[bytes], behind: bytes) -> None:
    """A head that the expression accepts is the same head to h11."""
    check_both_paths(b"".join((first, *lines, b"\r\n", behind)))


@given(st.binary(max_size=40), st.integers(0, len(UPGRADE)), st.integers(0, 40))
def test_fast_path_agrees_with_h11_on_noise(noise: bytes, at: int, cut: int) -> None:
    """The same holds for a valid head with random changes."""
    check_both_paths(UPGRADE[:at] + noise + UPGRADE[at + cut :])


CONTROLS = bytes((*range(9), *range(11, 32), 127))
"""Control characters other than a tab and a line feed."""


@given(st.binary(max_size=40).filter(lambda value: not set(value) & {*CONTROLS, ord("\n")}))
@example(b"\ta\t b\t")
def test_any_value_passes_both_paths(value: bytes) -> None:
    """A header value without control characters, except tabs, passes on both paths."""
    head = UPGRADE.removesuffix(b"\r\n") + b"X: " + value + b"\r\n\r\n"
    for path in (head, head.replace(b"\r\n", b"\n")):
        request = parse_head(path)
        assert isinstance(request, Request)
        assert request.headers[b"x"] == value.strip(b" \t")


@pytest.mark.parametrize("control", CONTROLS)
def test_control_character_in_a_value(control: int) -> None:
    """No control character except a tab passes on either path (RFC 9110 section 5.5)."""
    head = UPGRADE.removesuffix(b"\r\n") + b"X: a" + bytes((control,)) + b"b\r\n\r\n"
    for path in (head, head.replace(b"\r\n", b"\n").replace(b"\r", b"\r\r")):
        assert RequestParser().feed(path) is NOT_HTTP


@pytest.mark.parametrize("name", ["Content-Length", "content-length"])
def test_long_list_of_lengths(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Content-Length with a long list is refused without h11, which is slow for it."""
    assert isinstance(RequestParser().feed(with_lines(UPGRADE, f"{name}: 0, 0")), Request)
    monkeypatch.setattr("relay.protocol.request.h11", None)
    assert RequestParser().feed(with_lines(UPGRADE, f"{name}: 0{',0' * 50}")) is NOT_HTTP


def refusal_of(*pieces: bytes) -> Response:
    """Return the refusal of bytes, which comes with the last piece."""
    reader = RequestParser()
    *answers, last = map(reader.feed, pieces)
    assert answers == [None] * len(answers)
    assert isinstance(last, Response)
    return last


@pytest.mark.parametrize("before", [b"", b"\r\n", b"\n"])
@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (b"/ HTTP/1.1\r\n\r\n", 400),
        (b"/ HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400),
        (b"/ HTTP/3\r\n", 400),
        (b"/ HTTP/1.1\r\n" + b"X: y\r\n" * (MAX_FIELDS + 1), 431),
        (b"/" + b"x" * 17_000, 431),
    ],
    ids=["no-host", "control", "version", "fields", "size"],
)
def test_refusal_of_head_has_no_body(before: bytes, rest: bytes, status: int) -> None:
    """The refusal of a HEAD request has no body, also if its head cannot be parsed."""
    for method in (b"HEAD ", b"GET "):
        response = refusal_of(before + method[:2], method[2:] + rest)
        assert (response.status, response.omit_body) == (status, method == b"HEAD ")


@pytest.mark.parametrize("size", [1, 2, 5, 11])
@pytest.mark.parametrize("signature", [PROXY_V1 + b"TCP4 ::1 ::1 1 2\r\n", PROXY_V2])
def test_proxy_protocol_in_pieces(signature: bytes, size: int) -> None:
    """A header of the PROXY protocol is recognized in any number of pieces."""
    pieces = [signature[at : at + size] for at in range(0, len(signature), size)]
    assert refusal_of(*pieces) is PROXY_PROTOCOL


def test_begun() -> None:
    """Empty lines do not begin a head."""
    reader = RequestParser()
    for piece, begun in ((b"\r", False), (b"\n", False), (b"G", True), (b"\r\n", True)):
        reader.feed(piece)
        assert reader.begun is begun


@given(
    st.sampled_from([UPGRADE, plain("/health", "POST")]),
    st.sampled_from([b"", b"\n", b"\r\n"]),
    st.data(),
)
def test_in_pieces(head: bytes, before: bytes, data: st.DataObject) -> None:
    """A head in pieces is the same request, and the data behind it is kept."""
    behind = b"behind"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(before + head) - 1), max_size=5)))
    reader, at_once = RequestParser(), RequestParser()
    expected = at_once.feed(head + behind)
    assert isinstance(expected, Request)
    assert at_once.trailing_data == behind
    for begin, end in zip([0, *cuts], [*cuts, None], strict=True):
        request = reader.feed((before + head + behind)[begin:end])
        assert (request is None) == (end is not None)
    assert request == expected
    assert reader.trailing_data == behind


@pytest.mark.parametrize(
    "noise",
    [
        b"\r\n\r\nG",
        b"\r\n\r\n\0G",
        b"\n\n",
        b"SSH-2.0-client\r\n",
        b"GET /\n",
        b"\x16\x03\x01",
        b" ",
    ],
)
def test_not_http(noise: bytes) -> None:
    """Bytes that cannot become a head are refused at the first byte, or at the first wrong line."""
    assert RequestParser().feed(noise) is NOT_HTTP


def head_of(fields: int, line: bytes = b"a:") -> bytes:
    """Return a head with this many fields."""
    lines = (b"GET / HTTP/1.1", b"host:x", *[line] * (fields - 1), b"", b"")
    return b"\r\n".join(lines)


@pytest.mark.parametrize("line", [b"a:", b"a:\xff", b"a:\t", b" folded"])
def test_number_of_fields(line: bytes) -> None:
    """A head has a maximum number of fields, on both paths and in any number of pieces."""
    assert isinstance(RequestParser().feed(head_of(MAX_FIELDS, line)), Request)
    head = head_of(MAX_FIELDS + 1, line)
    assert RequestParser().feed(head) is TOO_MANY_FIELDS
    reader = RequestParser()
    read = [reader.feed(bytes((byte,))) for byte in head.removesuffix(b"\r\n")]
    assert read == [None] * (len(read) - 1) + [TOO_MANY_FIELDS]


@pytest.mark.parametrize("byte", [b"\0", b"\v", b"\f", b"\r", b"\rx"])
def test_hopeless_head_is_not_parsed(byte: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that h11 would refuse, slowly if there are many spaces, is refused without it."""
    head = with_lines(UPGRADE, f"X:  {byte.decode()}")
    assert by_h11(head) is None
    monkeypatch.setattr("relay.protocol.request.h11", None)
    assert RequestParser().feed(head) is NOT_HTTP


def test_bytes_behind_the_head_are_no_fields() -> None:
    """Lines behind the head do not count as fields."""
    assert isinstance(RequestParser().feed(head_of(MAX_FIELDS) + b"\n" * 1000), Request)


def test_too_many_fields_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that is too large or incomplete is not parsed."""
    monkeypatch.setattr("relay.protocol.request.parse_head", None)
    assert RequestParser().feed(head_of(5000)) is TOO_MANY_FIELDS
    reader = RequestParser()
    assert reader.feed(head_of(MAX_FIELDS)[:-1]) is None
    assert reader.feed(b"x: y\r\n") is TOO_MANY_FIELDS


@pytest.mark.parametrize(
    ("target", "origin_form", "host"),
    [
        (b"http://relay.example/health", b"/health", b"relay.example"),
        (b"HTTPS://Relay.Example:8443/a?b#c", b"/a?b#c", b"Relay.Example:8443"),
        (b"ws://relay.example?pair=code", b"/?pair=code", b"relay.example"),
        (b"wss://[::1]:80", b"/", b"[::1]:80"),
        (b"http:///health", b"http:///health", b"other"),
        (b"ftp://relay.example/", b"ftp://relay.example/", b"other"),
        (b"//relay.example/", b"//relay.example/", b"other"),
        (b"/http://relay.example/", b"/http://relay.example/", b"other"),
        (b"*", b"*", b"other"),
    ],
)
def test_absolute_form(target: bytes, origin_form: bytes, host: bytes) -> None:
    """The host of a target in absolute form counts (RFC 9112 section 3.2.2)."""
    for end in (b"\r\n", b"\n"):
        request = RequestParser().feed(b"GET " + target + b" HTTP/1.1\r\nHost: other" + end + end)
        assert isinstance(request, Request)
        assert (request.target, request.headers) == (origin_form, {b"host": host})
