"""Reframer and wsproto agree on any bytes that a client may send, in any division."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wsproto.frame_protocol import CloseReason

from relay.protocol.frames import MAX_CONTROL
from relay.protocol.reframer import (
    MAX_BUFFERED,
    MAX_CONTROLS,
    Reframer,
)
from relay.protocol.violations import CloseCode
from tests.support.raw_client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tests.support.reframer_comparison import (
    FILLING,
    REAL,
    Bounds,
    Recorder,
    as_reference,
    as_reframed,
    build,
    check_agreement,
    cut,
)

thorough = settings(derandomize=True, max_examples=100)


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
    """Draw a frame that may be wrong in any way; some are not."""
    frame = build(
        draw(st.integers(0, 255)),
        draw(payloads),
        draw(keys),
        form=draw(st.sampled_from((0, 0, 126, 127))),
        masked=draw(st.booleans()),
    )
    return frame[: draw(st.integers(0, len(frame)))] if draw(st.booleans()) else frame


edge_codes = (
    *(0, 1, 999, 1000, 1003, 1004, 1005, 1006, 1007, 1013, 1014, 1015, 1016),
    *(2999, 3000, 4999, 5000, 2**15, 2**16 - 1),
)
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
    """Draw a valid stream in which one byte was replaced, removed or inserted."""
    stream = b"".join(draw(st.lists(st.one_of(messages(), pings), min_size=1, max_size=4)))
    place = draw(st.integers(0, len(stream)))
    return stream[:place] + draw(st.binary(max_size=1)) + stream[place + draw(st.booleans()) :]


# Bounds under which messages of the sizes above are cut through: always, often, or seldom.
bounds = st.sampled_from((REAL, REAL, (0, 1), (1, 2), (8, 4), (100, 16)))

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


@given(cut_streams(good_streams), bounds)
@settings(thorough)
def test_good_streams_break_no_rule(pieces: list[bytes], bounds: Bounds) -> None:
    """The frames of a correct client are never refused, in any division."""
    seen, reframer = as_reframed(pieces, bounds=bounds)
    assert seen.end in (None, CLOSE)
    assert reframer.buffered == 0
    assert seen.part == b""


def latest_pings(reframer: Recorder) -> list[bytes]:
    """Return the latest pings of all reads, as many as the relay answers for one read."""
    return [frame for frame in reframer.control if frame[0] & 0x0F == PING][-MAX_CONTROLS:]


@given(cut_streams(), st.sampled_from((0, 0, 1, 5, 9, 125, 300)), bounds)
@settings(thorough)
def test_cuts_make_no_difference(
    pieces: list[bytes], max_message_size: int, bounds: Bounds
) -> None:
    """Any division of a stream has the same messages, control frames and end."""
    seen, reframer = as_reframed(pieces, max_message_size, bounds)
    whole, reference = as_reframed([b"".join(pieces)], max_message_size, bounds)
    assert seen.messages == whole.messages
    assert seen.end == whole.end
    longer, shorter = sorted((seen.part, whole.part), key=len, reverse=True)
    assert longer.startswith(shorter)
    assert reframer.end == reference.end
    assert reframer.message_counts == reference.message_counts
    if seen.end is None:
        assert latest_pings(reframer) == latest_pings(reference)
        assert len(seen.part) + reframer.buffered == len(whole.part) + reference.buffered


@given(cut_streams(), bounds)
@settings(thorough)
@example([b"\x81\x82\0\0\0\0\xff\xff", b"\x82\x81\0\0\0\0x"], REAL)
def test_reframer_agrees_with_wsproto(pieces: list[bytes], bounds: Bounds) -> None:
    """Messages, control frames, their places and the end are those that wsproto finds."""
    check_agreement([*pieces, FILLING], bounds)


@pytest.mark.parametrize(
    ("before", "flag"),
    [
        (b"", 0x80),
        (build(TEXT, b"", bytes(4)), 0x80),
        (build(BINARY, b"", bytes(4)), 0x80),
        (b"", 0),
    ],
    ids=["between-messages", "in-text", "in-binary", "unmasked"],
)
def test_every_header_agrees_with_wsproto(before: bytes, flag: int) -> None:
    """Each first byte with each edge of each form of length is valid or wrong for both."""
    lengths = [bytes((flag | length,)) for length in (0, 1, 2, 125)]
    lengths += [struct.pack("!BH", flag | 126, length) for length in (0, 125, 126, 65535)]
    lengths += [
        struct.pack("!BQ", flag | 127, length)
        for length in (0, 125, 126, 65535, 65536, 2**63 - 1, 2**63, 2**64 - 1)
    ]
    for first in range(256):
        for length in lengths:
            assert check_agreement([before + bytes((first,)) + length + FILLING])


@pytest.mark.parametrize(
    ("reason", "codes"),
    [
        (b"", (*range(900, 5100), *edge_codes)),
        *(
            (reason, edge_codes)
            for reason in (b"why", "\u20ac".encode(), b"\xff", b"\xe2\x82", b"\xc0\x80")
        ),
    ],
)
def test_every_close_code_agrees_with_wsproto(reason: bytes, codes: tuple[int, ...]) -> None:
    """Each close code is valid or wrong for both, and each kind of code with any reason."""
    for code in codes:
        # The registry got 1014 after RFC 6455, and wsproto refuses it.
        if code == 1014:
            continue
        assert check_agreement([build(0x80 | CLOSE, struct.pack("!H", code) + reason, bytes(4))])


def test_close_code_1014_is_accepted() -> None:
    """The reframer accepts the close code 1014, which wsproto refuses."""
    frame = build(0x80 | CLOSE, struct.pack("!H", 1014) + b"why", bytes(4))
    seen, reframer = as_reframed([frame])
    assert (seen.end, reframer.end) == (CLOSE, frame)
    assert seen.reads == [([(CLOSE, struct.pack("!H", 1014) + b"why")], (0, 0))]
    expected, _ = as_reference([frame])
    assert expected.end == CloseReason.PROTOCOL_ERROR


@given(cut_streams(good_streams), st.sampled_from((1, 2, 5, 8, 9, 18, 100, 200, 600)), bounds)
@settings(thorough)
def test_limit_ends_it_at_the_first_message_over_it(
    pieces: list[bytes], limit: int, bounds: Bounds
) -> None:
    """With a limit, the result is the same up to the first message above the limit."""
    seen, reframer = as_reframed(pieces, limit, bounds)
    unlimited, _ = as_reframed(pieces, bounds=bounds)
    too_big = next((x for x in unlimited.messages if len(x) > limit), None)
    if too_big is None:
        assert seen == unlimited
        return
    assert seen.end == CloseCode.MESSAGE_TOO_BIG
    assert seen.messages == unlimited.messages[: unlimited.messages.index(too_big)]
    assert seen.ended_in is not None
    assert seen.reads[: seen.ended_in] == unlimited.reads[: seen.ended_in]
    assert not any(control for control, _ in seen.reads[seen.ended_in :])
    assert reframer.buffered == 0
    assert len(seen.part) <= limit
    assert too_big.startswith(seen.part)


@given(cut_streams(), st.binary(min_size=1, max_size=40), bounds)
@settings(thorough)
def test_nothing_follows_the_end(pieces: list[bytes], more: bytes, bounds: Bounds) -> None:
    """After a close frame or a violation, further bytes change nothing."""
    pieces.append(FILLING)
    seen, reframer = as_reframed(pieces, bounds=bounds)
    after, same = as_reframed([*pieces, more], bounds=bounds)
    if seen.end is not None:
        place = (len(seen.messages), len(seen.part))
        assert after == replace(seen, reads=[*seen.reads, ([], place)])
        assert same.end == reframer.end
        assert same.buffered == reframer.buffered == 0


# Long messages, under the real bounds.

sizes = st.one_of(
    st.sampled_from((0, 1, 255, 256, MAX_BUFFERED - 1, MAX_BUFFERED, MAX_BUFFERED + 1)),
    st.integers(0, 300),
    st.integers(0, 3 * MAX_BUFFERED),
)


@st.composite
def long_streams(draw: st.DrawFn) -> bytes:
    """Draw messages whose fragments have sizes around `MAX_BUFFERED`."""
    stream = b""
    for _ in range(draw(st.integers(1, 3))):
        opcode = draw(st.sampled_from((BINARY, BINARY, BINARY, TEXT)))
        lengths = draw(st.lists(sizes, min_size=1, max_size=4))
        for i, length in enumerate(lengths):
            fin = 0x80 * (i == len(lengths) - 1)
            payload = (bytes(range(127)) * (length // 127 + 1))[:length]
            stream += build(fin | (CONTINUATION if i else opcode), payload, draw(keys))
            stream += draw(st.one_of(st.just(b""), pings))
    return stream + draw(st.one_of(st.just(b""), closes, stray_frames, open_messages))


@st.composite
def long_reads(draw: st.DrawFn) -> list[bytes]:
    """Draw a long stream in reads of one size, or cut anywhere, perhaps without its end."""
    stream = draw(long_streams())
    stream = stream[: len(stream) - draw(st.sampled_from((0, 0, 1, 10, 1000, 70_000)))]
    read = draw(st.sampled_from((0, 0, 99, 100, 1448, 65536)))
    if read:
        return [stream[start : start + read] for start in range(0, len(stream), read)]
    return cut(stream, draw(st.lists(st.integers(0, len(stream)), max_size=12)))


@given(long_reads())
@settings(thorough, max_examples=60)
def test_long_messages_agree_with_wsproto(pieces: list[bytes]) -> None:
    """Messages around and above the bound, in any fragments, are those that wsproto finds."""
    check_agreement([*pieces, FILLING])


@given(long_streams())
@settings(thorough, max_examples=4)
def test_buffer_is_bounded_in_reads_of_one_byte(stream: bytes) -> None:
    """The buffer never exceeds `MAX_BUFFERED` and an incomplete control frame."""
    reframer = Reframer()
    for i in range(len(stream)):
        reframer.feed(stream[i : i + 1])
        assert reframer.buffered < MAX_BUFFERED + MAX_CONTROL
