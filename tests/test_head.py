"""A head is read at once if it is usual, else by h11, and both make the same of it."""

from __future__ import annotations

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.errors import NotHttp
from relay.head import USUAL, HeadReader, Request, usual_request

from .heads import UPGRADE, plain, with_lines

LINES = [
    b"Host: relay\r\n",
    b"host:relay\r\n",
    b"Upgrade: websocket\r\n",
    b"X-Empty:\r\n",
    b"X-Spaces:   a  b   \r\n",
    b"X-Tabs:\ta\tb\t\r\n",
    b"X-Folded: a\r\n b\r\n",
    b"X-Latin: \xe9\r\n",
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


def by_h11(data: bytes) -> tuple[Request, bytes] | None:
    """Return the request that h11 finds, and what is behind it."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(event, h11.Request):
        return None
    headers = list(event.headers)
    return Request(event.method, event.target, event.http_version, headers), (
        connection.trailing_data[0]
    )


def test_a_usual_head_is_read_at_once() -> None:
    """What clients send is usual, with whatever comes behind it."""
    usual = USUAL.match(UPGRADE + b"frames")
    assert usual is not None
    assert usual_request(usual) is not None
    assert usual.end() == len(UPGRADE)


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
def test_another_is_left_to_h11(head: bytes) -> None:
    """Where more than the form of a line matters, h11 is asked."""
    usual = USUAL.match(head)
    assert usual is None or usual_request(usual) is None


@given(st.sampled_from(FIRST_LINES), st.lists(st.sampled_from(LINES)), st.binary(max_size=9))
@example(FIRST_LINES[0], [LINES[0]], b"\r\n")
def test_usual_is_what_h11_makes_of_it(first: bytes, lines: list[bytes], behind: bytes) -> None:
    """A head that is read at once is one for h11, too, and the same one."""
    data = b"".join((first, *lines, b"\r\n", behind))
    usual = USUAL.match(data)
    request = usual and usual_request(usual)
    if usual is not None and request is not None:
        assert by_h11(data) == (request, data[usual.end() :])


@given(st.binary(max_size=40), st.integers(0, len(UPGRADE)), st.integers(0, 40))
def test_noise_is_what_h11_makes_of_it(noise: bytes, at: int, cut: int) -> None:
    """The same holds for a good head with anything in it."""
    data = UPGRADE[:at] + noise + UPGRADE[at + cut :]
    usual = USUAL.match(data)
    request = usual and usual_request(usual)
    if usual is not None and request is not None:
        assert by_h11(data) == (request, data[usual.end() :])


@given(st.sampled_from([UPGRADE, plain("/health", "POST")]), st.data())
def test_in_pieces(head: bytes, data: st.DataObject) -> None:
    """A head in pieces is the same request, and what is behind it is not lost."""
    behind = b"behind"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(head) - 1), max_size=5)))
    reader, whole = HeadReader(), HeadReader()
    expected = whole.feed(head + behind)
    assert expected is not None
    assert whole.rest == behind
    for begin, end in zip([0, *cuts], [*cuts, None], strict=True):
        request = reader.feed((head + behind)[begin:end])
        assert (request is None) == (end is not None)
    assert request == expected
    assert reader.rest == behind


@pytest.mark.parametrize("noise", [b"\r\n", b"SSH-2.0-client\r\n", b"GET /\n", b"\x16\x03\x01\n"])
def test_not_http(noise: bytes) -> None:
    """What cannot become a head is told from the first line that is none."""
    with pytest.raises(NotHttp):
        HeadReader().feed(noise)
