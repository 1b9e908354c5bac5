"""The splitter against a decoder that was not written here, on whatever a client may send.

The reference is wsproto. On the way in, its server side says which messages, control frames and
errors are in the client's bytes; on the way out, its client side decodes what the splitter made.
It differs in one thing, that it checks the UTF-8 of text, which a blind relay does not: where it
stops for that reason it has no more to say, and what it said before must still be so.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode, ParseFailed

from relay.errors import CloseCode
from relay.splitter import MAX_HELD, FrameSplitter

from .clients import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT

Position = tuple[int, int]
"""Where in the data a control frame stands: messages before it, and bytes of the next one."""

PONG_FROM_RELAY = b"\x8a\x01!"

# Enough to complete any header with a byte of payload behind it, so that both decoders have made
# up their minds: one of them finds some errors a few bytes later than the other.
FILLING = bytes(16)

thorough = settings(deadline=None, derandomize=True, max_examples=500)


@dataclass
class Seen:
    """All that the bytes of a client come to."""

    messages: list[bytes] = field(default_factory=list)
    part: bytes = b""
    """What there is of the message that has no end yet."""
    control: list[tuple[int, bytes]] = field(default_factory=list)
    """Opcode and unmasked payload of each control frame."""
    end: int | None = None
    """The code of the violation, or `CLOSE`, or None if the client may go on."""

    def position(self) -> Position:
        """Return where the data is now."""
        return len(self.messages), len(self.part)

    def add(self, payload: bytes, *, finished: bool) -> None:
        """Add a fragment of binary data."""
        self.part += payload
        if finished:
            self.messages.append(self.part)
            self.part = b""


def as_reference(data: bytes) -> tuple[Seen, list[Position], bool]:
    """Decode a client's bytes with wsproto.

    Returns what was seen, the place of each control frame, and whether wsproto gave up on a text.
    """
    protocol = FrameProtocol(client=False, extensions=[])
    protocol.receive_bytes(data)
    seen, places = Seen(), []
    try:
        for frame in protocol.received_frames():
            if frame.opcode is Opcode.BINARY:
                assert isinstance(frame.payload, bytes)
                seen.add(frame.payload, finished=frame.message_finished)
            elif frame.opcode is not Opcode.TEXT:
                places.append(seen.position())
                seen.control.append((frame.opcode, as_payload(frame.payload)))
                if frame.opcode is Opcode.CLOSE:
                    seen.end = CLOSE
    except ParseFailed as failure:
        if failure.code == CloseReason.INVALID_FRAME_PAYLOAD_DATA and "CLOSE" not in str(failure):
            return seen, places, True
        seen.end = failure.code
    return seen, places, False


def as_payload(payload: bytes | str | tuple[int, str]) -> bytes:
    """Return the payload of a control frame, also of a close frame, which wsproto takes apart."""
    if isinstance(payload, tuple):
        code, reason = payload
        if code == CloseReason.NO_STATUS_RCVD:
            return b""
        return struct.pack("!H", code) + reason.encode()
    assert isinstance(payload, bytes)
    return payload


def xor(payload: bytes, key: bytes) -> bytes:
    """Mask or unmask payload."""
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def as_split(
    pieces: list[bytes], max_message_size: int = 0
) -> tuple[Seen, list[tuple[Position, Position]], FrameSplitter]:
    """Feed the pieces to a splitter and decode what it gives as a WebSocket client would.

    Returns what was seen, between which two places each control frame came, and the splitter.
    After each piece it is checked that no more is held than may be, and that a control frame
    can be written to the peer.
    """
    splitter = FrameSplitter(max_message_size)
    peer = FrameProtocol(client=True, extensions=[])
    seen, places = Seen(), []
    for piece in pieces:
        before = seen.position()
        peer.receive_bytes(b"".join(splitter.feed(piece)) + PONG_FROM_RELAY)
        *frames, last = peer.received_frames()
        assert (last.opcode, last.payload) == (Opcode.PONG, b"!")
        for frame in frames:
            assert frame.opcode is Opcode.BINARY
            assert isinstance(frame.payload, bytes)
            assert frame.frame_finished
            assert frame.payload or frame.message_finished
            seen.add(frame.payload, finished=frame.message_finished)
        for frame_in in splitter.control[len(seen.control) :]:
            places.append((before, seen.position()))
            seen.control.append((frame_in[0] & 0x0F, xor(frame_in[6:], frame_in[2:6])))
        assert len(splitter.held) <= MAX_HELD
    if splitter.violation is not None:
        assert not splitter.closed
        seen.end = splitter.violation.code
    elif splitter.closed:
        seen.end = CLOSE
    return seen, places, splitter


def cut(data: bytes, borders: list[int]) -> list[bytes]:
    """Cut data at the given places."""
    return [data[start:stop] for start, stop in pairwise((0, *sorted(borders), len(data)))]


def build(first: int, payload: bytes, key: bytes, *, form: int = 0, masked: bool = True) -> bytes:
    """Return a frame with this first byte; form is 126 or 127 for a longer length than needed."""
    length = len(payload)
    form = max(form, length if length <= 125 else 126 if length < 2**16 else 127)
    header = bytes((first, 0x80 * masked | form))
    if form == 126:
        header += struct.pack("!H", length)
    elif form == 127:
        header += struct.pack("!Q", length)
    return header + key + xor(payload, key) if masked else header + payload


keys = st.binary(min_size=4, max_size=4)
payloads = st.one_of(
    st.binary(max_size=9),
    st.binary(max_size=9),
    st.integers(100, 300).map(lambda size: bytes(i % 253 for i in range(size))),
)
close_payloads = st.one_of(
    st.just(b""),
    st.builds(
        lambda code, reason: struct.pack("!H", code) + reason.encode(),
        st.sampled_from((1000, 1001, 1003, 1007, 1011, 1013, 3000, 4999)),
        st.text(max_size=20),
    ),
)
pings = st.builds(
    build,
    st.sampled_from((0x80 | PING, 0x80 | PONG)),
    st.one_of(st.binary(max_size=9), st.binary(min_size=120, max_size=125)),
    keys,
)
closes = st.builds(build, st.just(0x80 | CLOSE), close_payloads, keys)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Draw the frames of one message, text or binary, perhaps with control frames between them."""
    opcode = draw(st.sampled_from((BINARY, BINARY, TEXT)))
    if opcode == TEXT:
        whole = draw(st.text(max_size=40)).encode()
        borders = draw(st.lists(st.integers(0, len(whole)), max_size=4))
        parts = cut(whole, borders)
    else:
        count = draw(st.sampled_from((1, 1, 2, 5)))
        parts = draw(st.lists(payloads, min_size=count, max_size=count))
    stream = b""
    for i, part in enumerate(parts):
        fin = 0x80 * (i == len(parts) - 1)
        stream += build(fin | (CONTINUATION if i else opcode), part, draw(keys))
        if not fin:
            stream += b"".join(draw(st.lists(pings, max_size=2)))
    return stream


@st.composite
def wrong_frames(draw: st.DrawFn) -> bytes:
    """Draw a frame that may be wrong in any way; now and then it is not."""
    frame = build(
        draw(st.integers(0, 255)),
        draw(payloads),
        draw(keys),
        form=draw(st.sampled_from((0, 0, 126, 127))),
        masked=draw(st.booleans()),
    )
    return frame[: draw(st.integers(0, len(frame)))] if draw(st.booleans()) else frame


edge_codes = (0, 999, 1000, 1003, 1004, 1005, 1006, 1007, 1013, 1014, 1015, 2999, 3000, 4999, 5000)
close_edges = st.builds(
    build,
    st.just(0x80 | CLOSE),
    st.one_of(
        st.binary(min_size=1, max_size=1),
        st.sampled_from(edge_codes).map(lambda code: struct.pack("!H", code)),
        st.sampled_from((b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc3\xa9", b"x")).map(
            lambda reason: struct.pack("!H", 1000) + reason
        ),
    ),
    keys,
)
control_edges = st.builds(
    build,
    st.sampled_from((PING, PONG, CLOSE, 0x80 | PING, 0x80 | PONG, 0x80 | CLOSE)),
    st.sampled_from((0, 125, 126, 127, 200)).map(bytes),
    keys,
)
length_edges = st.builds(
    lambda first, form, size, key: build(first, bytes(size), key, form=form),
    st.sampled_from((0x80 | BINARY, BINARY, 0x80 | TEXT)),
    st.sampled_from((126, 127)),
    st.sampled_from((0, 1, 124, 125, 126, 127, 65535, 65536)),
    keys,
)
huge_frames = st.builds(
    lambda first, length, key, rest: bytes((first, 0xFF)) + struct.pack("!Q", length) + key + rest,
    st.sampled_from((0x80 | BINARY, BINARY, TEXT, CONTINUATION)),
    st.one_of(
        st.sampled_from((125, 126, 2**16 - 1, 2**16, 2**63 - 1, 2**63, 2**64 - 1)),
        st.integers(0, 2**64 - 1),
    ),
    keys,
    st.binary(max_size=20),
)
stray_frames = st.builds(
    build, st.sampled_from((0x80, 0x00, 0x01, 0x81, 0x02, 0x82)), payloads, keys
)


@st.composite
def altered_streams(draw: st.DrawFn) -> bytes:
    """Draw a good stream in which one byte was replaced, removed or inserted."""
    stream = b"".join(draw(st.lists(st.one_of(messages(), pings), min_size=1, max_size=4)))
    place = draw(st.integers(0, len(stream)))
    return stream[:place] + draw(st.binary(max_size=1)) + stream[place + draw(st.booleans()) :]


good_streams = st.builds(
    lambda parts, end: b"".join(parts) + end,
    st.lists(st.one_of(messages(), messages(), pings), max_size=8),
    st.one_of(st.just(b""), closes),
)
open_messages = st.builds(build, st.sampled_from((TEXT, BINARY)), st.just(b"ab"), keys)
bad_streams = st.builds(
    lambda *parts: b"".join(parts),
    st.lists(st.one_of(messages(), pings), max_size=3).map(b"".join),
    st.one_of(st.just(b""), open_messages),
    st.one_of(
        wrong_frames(), close_edges, control_edges, length_edges, huge_frames, stray_frames, closes
    ),
    st.one_of(st.just(b""), st.binary(max_size=30), messages()),
)
streams = st.one_of(
    good_streams, bad_streams, bad_streams, bad_streams, altered_streams(), st.binary(max_size=60)
)


@st.composite
def cut_streams(draw: st.DrawFn, of: st.SearchStrategy[bytes] = streams) -> list[bytes]:
    """Draw a stream in pieces: cut anywhere, some of them empty, or in single bytes."""
    stream = draw(of)
    if len(stream) < 1000 and draw(st.booleans()):
        return cut(stream, list(range(1, len(stream))))
    return cut(stream, draw(st.lists(st.integers(0, len(stream)), max_size=12)))


@given(cut_streams(good_streams))
@settings(thorough)
def test_good_streams_break_no_rule(pieces: list[bytes]) -> None:
    """What a correct client sends is never refused, however it is cut."""
    seen, _, splitter = as_split(pieces)
    assert splitter.violation is None
    assert len(splitter.held) == 0
    assert seen.part == b""


@given(cut_streams(), st.sampled_from((0, 0, 1, 5, 9, 125, 300)))
@settings(thorough)
def test_cuts_make_no_difference(pieces: list[bytes], max_message_size: int) -> None:
    """However a stream is cut, its messages, control frames and end are those of the whole."""
    seen, _, splitter = as_split(pieces, max_message_size)
    whole, _, reference = as_split([b"".join(pieces)], max_message_size)
    assert replace(seen, part=b"") == replace(whole, part=b"")
    longer, shorter = sorted((seen.part, whole.part), key=len, reverse=True)
    assert longer.startswith(shorter)
    assert str(splitter.violation) == str(reference.violation)
    assert splitter.control == reference.control
    assert len(seen.part) + len(splitter.held) == len(whole.part) + len(reference.held)


def check_same(seen: Seen, splitter: FrameSplitter, expected: Seen) -> None:
    """Check that all is the same, but for what the splitter keeps until it is worth a fragment."""
    assert replace(seen, part=b"") == replace(expected, part=b"")
    assert expected.part.startswith(seen.part)
    assert len(expected.part) - len(seen.part) <= len(splitter.held)


@given(cut_streams())
@settings(thorough)
@example([b"\x81\x82\0\0\0\0\xff\xff", b"\x82\x81\0\0\0\0x"])
def test_splitter_agrees_with_wsproto(pieces: list[bytes]) -> None:
    """Messages, control frames, their places and the end are those that wsproto finds."""
    pieces.append(FILLING)
    expected, expected_places, gave_up = as_reference(b"".join(pieces))
    seen, places, splitter = as_split(pieces)
    if gave_up:
        count = len(expected.messages)
        assert seen.messages[:count] == expected.messages
        assert seen.control[: len(expected.control)] == expected.control
        assert expected.part == b""
    else:
        check_same(seen, splitter, expected)
    for place, (earliest, latest) in zip(expected_places, places, strict=False):
        assert earliest <= place <= latest


def assert_agreement(data: bytes) -> None:
    """Check that the splitter and wsproto see the same in data, whose text is UTF-8."""
    expected, _, gave_up = as_reference(data)
    assert not gave_up
    seen, _, splitter = as_split([data])
    check_same(seen, splitter, expected)


@pytest.mark.parametrize(
    "before",
    [b"", build(TEXT, b"", bytes(4)), build(BINARY, b"", bytes(4))],
    ids=["between-messages", "in-text", "in-binary"],
)
@pytest.mark.parametrize("flag", [0x80, 0], ids=["masked", "unmasked"])
def test_every_header_is_judged_as_by_wsproto(before: bytes, flag: int) -> None:
    """Each first byte with each edge of each form of length is good or wrong for both."""
    lengths = [bytes((flag | length,)) for length in (0, 1, 2, 125)]
    lengths += [struct.pack("!BH", flag | 126, length) for length in (0, 125, 126, 65535)]
    lengths += [
        struct.pack("!BQ", flag | 127, length)
        for length in (0, 125, 126, 65535, 65536, 2**63 - 1, 2**63, 2**64 - 1)
    ]
    for first in range(256):
        for length in lengths:
            assert_agreement(before + bytes((first,)) + length + FILLING)


@pytest.mark.parametrize(
    "reason", [b"", b"why", "\u20ac".encode(), b"\xff", b"\xe2\x82", b"\xc0\x80"]
)
def test_every_close_code_is_judged_as_by_wsproto(reason: bytes) -> None:
    """Each close code, with a good reason or a bad one, is good or wrong for both."""
    for code in (*range(900, 5100), 0, 1, 2**15, 2**16 - 1):
        assert_agreement(build(0x80 | CLOSE, struct.pack("!H", code) + reason, bytes(4)))


@given(cut_streams(good_streams), st.sampled_from((1, 2, 5, 8, 9, 18, 100, 200, 600)))
@settings(thorough)
def test_limit_ends_it_at_the_first_message_over_it(pieces: list[bytes], limit: int) -> None:
    """With a limit, all comes out as without, up to the first message that is over the limit."""
    seen, _, _ = as_split(pieces, limit)
    unlimited, _, _ = as_split(pieces)
    too_big = next((x for x in unlimited.messages if len(x) > limit), None)
    if too_big is None:
        assert seen == unlimited
        return
    assert seen.end == CloseCode.MESSAGE_TOO_BIG
    assert seen.messages == unlimited.messages[: unlimited.messages.index(too_big)]
    assert seen.control == unlimited.control[: len(seen.control)]
    assert len(seen.part) <= limit
    assert too_big.startswith(seen.part)


@given(cut_streams(), st.binary(min_size=1, max_size=40))
@settings(thorough)
def test_nothing_follows_the_end(pieces: list[bytes], more: bytes) -> None:
    """After a close frame or a violation, no byte changes anything any more."""
    pieces.append(FILLING)
    seen, _, splitter = as_split(pieces)
    after, _, same = as_split([*pieces, more])
    if seen.end is not None:
        assert after == seen
        assert str(same.violation) == str(splitter.violation)
        assert len(same.held) == len(splitter.held) == 0
