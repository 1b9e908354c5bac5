"""What the splitter makes of one client's frames: every rule of RFC 6455, one by one."""

from __future__ import annotations

import struct

import pytest

from relay.errors import CloseCode, ProtocolViolation
from relay.frames import apply_mask, check_close, server_header
from relay.splitter import FRAGMENTS, MAX_EMPTY_FRAGMENTS, MAX_HELD, FrameSplitter

from .clients import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, encode, encode_close

KEY = b"\x01\x02\x04\x80"
MAX_LENGTH = 2**63 - 1


def mask(payload: bytes, key: bytes = KEY) -> bytes:
    """Return payload masked as RFC 6455 section 5.3 says, in the plainest way."""
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def sent(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Return the server frame that the peer is to get."""
    first, length = 0x80 * fin | opcode, len(payload)
    if length <= 125:
        return bytes((first, length)) + payload
    if length < 2**16:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


def fed(splitter: FrameSplitter, *pieces: bytes) -> bytes:
    """Feed the pieces one by one and return all that goes to the peer."""
    return b"".join(b"".join(splitter.feed(piece)) for piece in pieces)


def one_by_one(data: bytes) -> list[bytes]:
    """Cut data into single bytes."""
    return [data[i : i + 1] for i in range(len(data))]


def refusal(splitter: FrameSplitter) -> tuple[int, str]:
    """Return the code and the reason of the violation that there must be."""
    assert splitter.violation is not None
    return splitter.violation.code, splitter.violation.reason


# The pieces of a frame.


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 125, 1000])
def test_masking_is_that_of_the_rfc(size: int) -> None:
    """The masker, whichever was found, does what section 5.3 says."""
    payload = bytes(i % 251 for i in range(size))
    assert bytes(apply_mask(payload, KEY)) == mask(payload)
    assert bytes(apply_mask(memoryview(b"x" + payload)[1:], KEY)) == mask(payload)


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"),
        (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        (MAX_LENGTH, b"\x82\x7f\x7f" + b"\xff" * 7),
    ],
)
def test_server_header_has_the_shortest_length(length: int, header: bytes) -> None:
    """A header for the peer has no mask and the shortest form of its length."""
    assert server_header(0x82, length) == header


def test_close_codes_are_those_of_the_registry() -> None:
    """Of all 65,536 close codes exactly those pass that section 7.4 lets a client send."""
    passed = set()
    for code in range(2**16):
        try:
            check_close(struct.pack("!H", code))
        except ProtocolViolation as violation:
            assert violation.code == CloseCode.PROTOCOL_ERROR  # noqa: PT017 - both ways are good
        else:
            passed.add(code)
    assert passed == {1000, 1001, 1002, 1003} | set(range(1007, 1014)) | set(range(3000, 5000))


# Whole messages.


@pytest.mark.parametrize("size", [0, 1, 2, 124, 125, 126, 127, 65535, 65536, 70000])
def test_binary_message_is_passed_on(size: int) -> None:
    """A binary message that came in one read goes on in one frame, unmasked."""
    payload = bytes(i % 251 for i in range(size))
    splitter = FrameSplitter()
    assert fed(splitter, encode(BINARY, payload)) == sent(BINARY, payload)
    assert (len(splitter.held), splitter.control) == (0, [])


def test_messages_of_one_read_stay_in_order() -> None:
    """Many messages in one read, short and long, come out in order, each with its borders."""
    payloads = [b"one", b"", b"x" * 300, b"two", b"y" * 70000, b"\xff" * 125, b"z"]
    splitter = FrameSplitter()
    stream = b"".join(encode(BINARY, payload) for payload in payloads)
    assert fed(splitter, stream) == b"".join(sent(BINARY, payload) for payload in payloads)


def test_nothing_gives_nothing() -> None:
    """An empty read changes nothing, in the middle of a header neither."""
    splitter = FrameSplitter()
    frame = encode(BINARY, b"abc")
    assert fed(splitter, b"", frame[:3], b"") == b""
    assert len(splitter.held) == 3
    assert fed(splitter, frame[3:]) == sent(BINARY, b"abc")


# Fragments, as they came and as the splitter makes them.


def test_fragments_stay_fragments() -> None:
    """The first fragment to the peer has the opcode, the last one FIN, those between neither."""
    splitter = FrameSplitter()
    fragments = (
        encode(BINARY, b"a", fin=False),
        encode(CONTINUATION, b"bc", fin=False),
        encode(CONTINUATION, b"d"),
    )
    expected = (
        sent(BINARY, b"a", fin=False)
        + sent(CONTINUATION, b"bc", fin=False)
        + sent(CONTINUATION, b"d")
    )
    assert fed(splitter, *fragments) == expected
    assert fed(FrameSplitter(), b"".join(fragments)) == expected


def test_message_after_a_fragmented_one_begins_anew() -> None:
    """After its last fragment a message is over, and the next one has its opcode again."""
    splitter = FrameSplitter()
    fed(splitter, encode(BINARY, b"a", fin=False), encode(CONTINUATION, b"b"))
    assert fed(splitter, encode(BINARY, b"c")) == sent(BINARY, b"c")
    assert fed(splitter, encode(BINARY, b"d", fin=False)) == sent(BINARY, b"d", fin=False)


def test_empty_fragments_are_left_out() -> None:
    """An empty fragment is worth no frame, and the first one with a payload has the opcode."""
    splitter = FrameSplitter()
    assert fed(splitter, encode(BINARY, fin=False), encode(CONTINUATION, fin=False)) == b""
    assert fed(splitter, encode(CONTINUATION, b"a", fin=False)) == sent(BINARY, b"a", fin=False)
    assert fed(splitter, encode(CONTINUATION, fin=False)) == b""
    assert fed(splitter, encode(CONTINUATION)) == sent(CONTINUATION)


def test_message_of_empty_fragments_is_an_empty_message() -> None:
    """A message whose fragments are all empty reaches the peer as one empty message."""
    splitter = FrameSplitter()
    fragments = encode(BINARY, fin=False) + encode(CONTINUATION, fin=False) + encode(CONTINUATION)
    assert fed(splitter, fragments) == sent(BINARY)
    assert fed(splitter, encode(BINARY, b"next")) == sent(BINARY, b"next")


@pytest.mark.parametrize("opcode", [BINARY, TEXT])
def test_empty_fragments_may_be_many(opcode: int) -> None:
    """As many empty fragments as the limit says pass, and each message has as many again."""
    splitter = FrameSplitter()
    message = (
        encode(opcode, fin=False)
        + encode(CONTINUATION, fin=False) * (MAX_EMPTY_FRAGMENTS - 1)
        + encode(CONTINUATION)
    )
    assert fed(splitter, message * 3) == (sent(BINARY) * 3 if opcode == BINARY else b"")
    assert splitter.violation is None


@pytest.mark.parametrize("opcode", [BINARY, TEXT])
def test_too_many_empty_fragments(opcode: int) -> None:
    """One empty fragment more than the limit is refused, with payload among them or not."""
    splitter = FrameSplitter()
    flood = encode(opcode, fin=False) + encode(CONTINUATION, fin=False) * (MAX_EMPTY_FRAGMENTS - 1)
    fed(splitter, flood, encode(CONTINUATION, b"x", fin=False))
    assert splitter.violation is None
    fed(splitter, encode(CONTINUATION, fin=False))
    assert refusal(splitter) == (1008, "too many empty fragments")


def test_one_byte_fragments_are_no_flood() -> None:
    """Fragments of one byte are passed on, however many: the byte limit sees them."""
    splitter = FrameSplitter()
    count = 3 * MAX_EMPTY_FRAGMENTS
    stream = encode(BINARY, b"x", fin=False) + encode(CONTINUATION, b"x", fin=False) * count
    assert fed(splitter, stream) == (
        sent(BINARY, b"x", fin=False) + sent(CONTINUATION, b"x", fin=False) * count
    )
    assert splitter.violation is None


def test_part_of_a_frame_goes_on_as_a_fragment() -> None:
    """What is there of a frame goes on at once; FIN comes with the real end alone."""
    splitter = FrameSplitter()
    frame = encode(BINARY, b"abcdef")
    assert fed(splitter, frame[:6]) == b""
    assert len(splitter.held) == 0
    assert fed(splitter, frame[6:8]) == sent(BINARY, b"ab", fin=False)
    assert fed(splitter, frame[8:11]) == sent(CONTINUATION, b"cde", fin=False)
    assert fed(splitter, frame[11:]) == sent(CONTINUATION, b"f")


def test_fin_waits_for_the_last_fragment() -> None:
    """A fragment that arrives in parts never gets a FIN, its last part neither."""
    splitter = FrameSplitter()
    frame = encode(BINARY, b"abcd", fin=False)
    assert fed(splitter, frame[:8], frame[8:]) == (
        sent(BINARY, b"ab", fin=False) + sent(CONTINUATION, b"cd", fin=False)
    )
    frame = encode(CONTINUATION, b"efgh")
    assert fed(splitter, frame[:8], frame[8:] + encode(BINARY, b"next")) == (
        sent(CONTINUATION, b"ef", fin=False) + sent(CONTINUATION, b"gh") + sent(BINARY, b"next")
    )


def test_huge_frame_is_passed_on_as_it_comes() -> None:
    """A frame that announces the most there can be costs nothing but what arrived of it."""
    splitter = FrameSplitter()
    header = b"\x82\xff" + struct.pack("!Q", MAX_LENGTH) + KEY
    part = b"x" * MAX_HELD
    assert fed(splitter, header + mask(part)) == sent(BINARY, part, fin=False)
    assert len(splitter.held) == 0
    assert splitter.violation is None


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 9])
def test_key_turns_with_the_payload(size: int) -> None:
    """Wherever a frame is cut, each part is unmasked with the right bytes of the key."""
    payload = bytes(range(50))
    frame = b"\x82" + bytes((0x80 | len(payload),)) + KEY + mask(payload)
    splitter = FrameSplitter()
    pieces = [frame[i : i + size] for i in range(0, len(frame), size)]
    got = b"".join(part for piece in pieces for part in splitter.feed(piece)[1::2])
    assert got == payload


def test_each_frame_has_its_own_key() -> None:
    """A new fragment starts at the first byte of its own key."""
    splitter = FrameSplitter()
    other = b"\xaa\xbb\xcc\xdd"
    first = b"\x02\x83" + KEY + mask(b"abc")
    second = b"\x80\x83" + other + mask(b"def", other)
    assert fed(splitter, *one_by_one(first + second))[-3:] == sent(CONTINUATION, b"f")
    splitter = FrameSplitter()
    assert fed(splitter, first + second) == (
        sent(BINARY, b"abc", fin=False) + sent(CONTINUATION, b"def")
    )


# Text.


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65536])
def test_text_is_dropped(size: int) -> None:
    """A text message vanishes, and what comes behind it is passed on."""
    splitter = FrameSplitter()
    stream = encode(TEXT, b"t" * size) + encode(BINARY, b"last")
    assert fed(splitter, stream) == sent(BINARY, b"last")
    assert fed(splitter, *one_by_one(stream)).endswith(sent(CONTINUATION, b"t"))


def test_text_is_not_read() -> None:
    """Text that is not UTF-8 is dropped as any other: the relay does not look."""
    splitter = FrameSplitter()
    assert fed(splitter, encode(TEXT, b"\xff\xfe"), encode(BINARY, b"b")) == sent(BINARY, b"b")


def test_fragmented_text_is_dropped() -> None:
    """No fragment of a text message is passed on, and a binary message may follow it."""
    splitter = FrameSplitter()
    fragments = (
        encode(TEXT, b"a", fin=False)
        + encode(CONTINUATION, fin=False)
        + encode(CONTINUATION, b"b" * 200, fin=False)
        + encode(CONTINUATION, b"c")
    )
    assert fed(splitter, fragments) == b""
    assert fed(splitter, *one_by_one(fragments)) == b""
    assert fed(splitter, encode(BINARY, b"next")) == sent(BINARY, b"next")


def test_text_with_control_frames_between_is_dropped() -> None:
    """Control frames between the fragments of a text message are kept, the text is not."""
    splitter = FrameSplitter()
    ping, pong = encode(PING, b"1"), encode(PONG, b"2")
    stream = encode(TEXT, b"a", fin=False) + ping + encode(CONTINUATION, fin=False) + pong
    assert fed(splitter, stream + encode(CONTINUATION, b"b")) == b""
    assert splitter.control == [ping, pong]
    assert fed(splitter, encode(BINARY, b"next")) == sent(BINARY, b"next")


def test_text_of_any_size_is_dropped() -> None:
    """Text is skipped as it comes: it is neither kept nor counted against the size limit."""
    splitter = FrameSplitter(max_message_size=10)
    header = b"\x81\xff" + struct.pack("!Q", 2**40) + KEY
    assert fed(splitter, header, *[b"t" * 65536] * 10) == b""
    assert len(splitter.held) == 0
    assert splitter.violation is None


# Control frames.


@pytest.mark.parametrize("opcode", [PING, PONG])
@pytest.mark.parametrize("size", [0, 1, 125])
def test_control_frame_is_kept_as_it_came(opcode: int, size: int) -> None:
    """A control frame never reaches the peer; it is kept whole, still masked."""
    splitter = FrameSplitter()
    frame = encode(opcode, b"x" * size)
    assert fed(splitter, frame) == b""
    assert splitter.control == [frame]
    assert fed(splitter, *one_by_one(frame)) == b""
    assert splitter.control == [frame, frame]
    assert (len(splitter.held), splitter.closed, splitter.violation) == (0, False, None)


def test_control_frames_between_fragments() -> None:
    """Control frames may come between the fragments of a message, which they do not change."""
    splitter = FrameSplitter()
    ping, pong = encode(PING, b"ping"), encode(PONG)
    stream = encode(BINARY, b"a", fin=False) + ping + encode(CONTINUATION, b"b", fin=False) + pong
    assert fed(splitter, stream + encode(CONTINUATION, b"c")) == (
        sent(BINARY, b"a", fin=False)
        + sent(CONTINUATION, b"b", fin=False)
        + sent(CONTINUATION, b"c")
    )
    assert splitter.control == [ping, pong]


def test_control_list_is_the_callers_to_empty() -> None:
    """What the caller took out does not come again, and the next frame is appended."""
    splitter = FrameSplitter()
    fed(splitter, encode(PING, b"1"))
    splitter.control.clear()
    frame = encode(PING, b"2")
    fed(splitter, frame)
    assert splitter.control == [frame]


# The end.

CLOSE_FRAMES = {
    "empty": encode(CLOSE),
    "code": encode_close(1000),
    "reason": encode_close(4999, "grüße"),
    "longest": encode_close(3000, "r" * 123),
}


@pytest.mark.parametrize("frame", CLOSE_FRAMES.values(), ids=CLOSE_FRAMES)
def test_nothing_after_a_close_frame_is_read(frame: bytes) -> None:
    """What comes before a close frame is passed on; what comes after it is ignored."""
    for rest in (encode(BINARY, b"late"), encode(PING), frame, b"\xff" * 20, b"\x82"):
        splitter = FrameSplitter()
        assert fed(splitter, encode(BINARY, b"early") + frame + rest) == sent(BINARY, b"early")
        assert splitter.closed
        assert fed(splitter, rest, *one_by_one(rest)) == b""
        assert splitter.control == [frame]
        assert (len(splitter.held), splitter.violation) == (0, None)


def test_close_frame_may_come_byte_by_byte() -> None:
    """A close frame counts when its last byte is there, not before."""
    splitter = FrameSplitter()
    frame = encode_close(1001, "bye")
    fed(splitter, *one_by_one(frame[:-1]))
    assert (splitter.closed, splitter.control) == (False, [])
    fed(splitter, frame[-1:])
    assert (splitter.closed, splitter.control) == (True, [frame])


def test_close_frame_inside_a_message() -> None:
    """A client may close in the middle of a message, which then never gets its FIN."""
    splitter = FrameSplitter()
    stream = encode(BINARY, b"half", fin=False) + encode_close(1000) + encode(CONTINUATION, b"no")
    assert fed(splitter, stream) == sent(BINARY, b"half", fin=False)
    assert splitter.closed


def close_with(payload: bytes) -> bytes:
    """Return a close frame with any payload."""
    return encode(CLOSE, payload)


# Each wrong frame, what may be said before it, and the reason that its sender is given.
OPEN_BINARY, OPEN_TEXT = encode(BINARY, fin=False), encode(TEXT, fin=False)
WRONG: dict[str, tuple[bytes, bytes, str]] = {
    "unmasked": (b"", encode(BINARY, b"abc", mask=False), "frame is not masked"),
    "unmasked-empty": (b"", encode(BINARY, mask=False), "frame is not masked"),
    "unmasked-16": (b"", encode(BINARY, b"x" * 200, mask=False), "frame is not masked"),
    "unmasked-64": (b"", encode(BINARY, b"x" * 65536, mask=False), "frame is not masked"),
    "unmasked-text": (b"", encode(TEXT, b"abcdef", mask=False), "frame is not masked"),
    "unmasked-ping": (b"", encode(PING, b"abcdef", mask=False), "frame is not masked"),
    "unmasked-continuation": (
        OPEN_BINARY,
        encode(CONTINUATION, b"abcdef", mask=False),
        "frame is not masked",
    ),
    **{
        f"reserved-{bits}-{opcode}": (b"", encode(opcode, b"x", reserved=bits), "reserved bit set")
        for bits in range(1, 8)
        for opcode in (TEXT, BINARY, CLOSE, PING, PONG)
    },
    "reserved-continuation": (
        OPEN_BINARY,
        encode(CONTINUATION, b"x", reserved=4),
        "reserved bit set",
    ),
    **{
        f"opcode-{opcode}": (b"", encode(opcode, b"x"), "unknown opcode")
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    **{
        f"fragmented-{opcode}": (b"", encode(opcode, fin=False), "fragmented control frame")
        for opcode in (CLOSE, PING, PONG)
    },
    **{
        f"long-{opcode}-{size}": (b"", encode(opcode, b"x" * size), "control frame is too long")
        for opcode in (CLOSE, PING, PONG)
        for size in (126, 65536)
    },
    "long-in-disguise": (
        b"",
        encode(PING, b"x", length_size=2),
        "control frame is too long",
    ),
    "stray": (b"", encode(CONTINUATION, b"x"), "continuation without a message"),
    "stray-open": (b"", encode(CONTINUATION, fin=False), "continuation without a message"),
    "stray-after-text": (
        encode(TEXT),
        encode(CONTINUATION, b"x"),
        "continuation without a message",
    ),
    "stray-after-fragments": (
        OPEN_TEXT + encode(CONTINUATION),
        encode(CONTINUATION),
        "continuation without a message",
    ),
    **{
        f"inside-{name}-{opcode}": (
            before,
            encode(opcode, b"x"),
            "message begins inside another one",
        )
        for name, before in (("binary", OPEN_BINARY), ("text", OPEN_TEXT))
        for opcode in (TEXT, BINARY)
    },
    "inside-after-ping": (
        OPEN_BINARY + encode(PING),
        encode(BINARY),
        "message begins inside another one",
    ),
    **{
        f"16-bits-for-{length}-{opcode}": (
            b"",
            encode(opcode, b"x" * length, length_size=2),
            "length is not minimal",
        )
        for length in (0, 1, 125)
        for opcode in (TEXT, BINARY)
    },
    **{
        f"64-bits-for-{length}": (
            b"",
            encode(BINARY, b"x" * length, length_size=8),
            "length is not minimal",
        )
        for length in (0, 125, 126, 65535)
    },
    **{
        f"negative-{length:x}": (b"", encode(BINARY, length=length), "length is negative")
        for length in (2**63, 2**64 - 1)
    },
    "close-of-one-byte": (b"", close_with(b"x"), "close frame with one byte"),
    **{
        f"close-{code}": (b"", encode_close(code, "why"), "invalid close code")
        for code in (0, 999, 1004, 1005, 1006, 1014, 1015, 1016, 2000, 2999, 5000, 65535)
    },
}
PREFIX = encode(BINARY, b"before")


@pytest.mark.parametrize(("before", "frame", "reason"), WRONG.values(), ids=WRONG)
def test_violation(before: bytes, frame: bytes, reason: str) -> None:
    """A wrong frame ends it with 1002: what came before is passed on, nothing after it is."""
    for pieces in ([PREFIX + before + frame], [PREFIX, before, *one_by_one(frame[:300])]):
        splitter = FrameSplitter()
        assert fed(splitter, *pieces) == sent(BINARY, b"before")
        assert refusal(splitter) == (1002, reason)
        kept = list(splitter.control)
        assert fed(splitter, frame, encode(BINARY, b"after"), encode(PING), encode(CLOSE)) == b""
        assert refusal(splitter) == (1002, reason)
        assert splitter.control == kept
        assert (splitter.closed, len(splitter.held)) == (False, 0)


@pytest.mark.parametrize("reason", [b"\xff", b"\xc3", b"ok \xed\xa0\x80", b"r" * 122 + b"\xe2"])
def test_close_reason_must_be_text(reason: bytes) -> None:
    """A close reason that is not UTF-8 is a violation of its own code, and no close."""
    splitter = FrameSplitter()
    assert fed(splitter, close_with(struct.pack("!H", 1000) + reason)) == b""
    assert refusal(splitter) == (1007, "close reason is not valid UTF-8")
    assert (splitter.closed, splitter.control) == (False, [])


def test_bad_code_matters_more_than_a_bad_reason() -> None:
    """A close frame that is wrong in both ways is a protocol error."""
    splitter = FrameSplitter()
    fed(splitter, close_with(struct.pack("!H", 999) + b"\xff"))
    assert refusal(splitter) == (1002, "invalid close code")


@pytest.mark.parametrize("name", ["reserved-4-2", "opcode-3", "unmasked", "stray", "inside-text-2"])
def test_two_bytes_tell_most_violations(name: str) -> None:
    """What the first two bytes of a frame get wrong is found without waiting for a third."""
    before, frame, reason = WRONG[name]
    splitter = FrameSplitter()
    fed(splitter, before, frame[:1])
    assert splitter.violation is None
    fed(splitter, frame[1:2])
    assert refusal(splitter) == (1002, reason)


def test_violation_after_a_part_of_a_message() -> None:
    """A violation does not finish the message that it breaks off."""
    splitter = FrameSplitter()
    stream = encode(BINARY, b"half", fin=False) + encode(BINARY, b"x")
    assert fed(splitter, stream) == sent(BINARY, b"half", fin=False)
    assert splitter.violation is not None


def test_control_frames_before_a_violation_are_kept() -> None:
    """What the client asked before it went wrong is still there."""
    splitter = FrameSplitter()
    ping = encode(PING, b"?")
    fed(splitter, ping + encode(3))
    assert splitter.control == [ping]


@pytest.mark.parametrize(
    ("length", "length_size"), [(126, 2), (65535, 2), (65536, 8), (MAX_LENGTH, 8)]
)
def test_shortest_lengths_are_good(length: int, length_size: int) -> None:
    """A length in the shortest form that holds it is no violation."""
    splitter = FrameSplitter()
    fed(splitter, encode(BINARY, length=length, length_size=length_size))
    assert splitter.violation is None


# The size limit.

LIMITS = [1, 2, 5, 64, 124, 125, 126, 127, 65535, 65536]


@pytest.mark.parametrize("limit", LIMITS)
def test_message_at_the_limit_passes(limit: int) -> None:
    """A message of exactly the limit passes, again and again, whole or in fragments."""
    splitter = FrameSplitter(limit)
    payload = b"x" * limit
    assert fed(splitter, encode(BINARY, payload) * 2) == sent(BINARY, payload) * 2
    fragments = encode(BINARY, payload[:-1], fin=False) + encode(CONTINUATION, b"x")
    fed(splitter, fragments * 2 + fragments[:-1], fragments[-1:])
    assert splitter.violation is None


@pytest.mark.parametrize("limit", LIMITS)
def test_message_over_the_limit_is_refused(limit: int) -> None:
    """A message of one byte more is refused, and nothing of the frame that was too much passes."""
    splitter = FrameSplitter(limit)
    assert fed(splitter, encode(BINARY, b"x" * (limit + 1)), encode(BINARY, b"y")) == b""
    assert refusal(splitter) == (1009, "message too big")


@pytest.mark.parametrize("limit", LIMITS)
def test_fragments_over_the_limit_are_refused(limit: int) -> None:
    """The lengths of all fragments of a message count together, but not those of control frames."""
    splitter = FrameSplitter(limit)
    start = encode(BINARY, b"x" * limit, fin=False)
    assert fed(splitter, start, encode(PING, b"p" * 125)) == sent(BINARY, b"x" * limit, fin=False)
    assert splitter.violation is None
    assert fed(splitter, encode(CONTINUATION, b"y")) == b""
    assert refusal(splitter) == (1009, "message too big")


def test_limit_is_enforced_by_the_announced_length() -> None:
    """A header is enough to refuse a message: its payload need not come, and is not waited for."""
    splitter = FrameSplitter(100 * 2**20)
    header = b"\x82\xff" + struct.pack("!Q", MAX_LENGTH) + KEY
    fed(splitter, header[:-1])
    assert splitter.violation is None
    fed(splitter, header[-1:])
    assert refusal(splitter) == (1009, "message too big")


def test_no_limit() -> None:
    """A limit of 0 is none: any two fragments of any lengths may follow each other."""
    splitter = FrameSplitter(0)
    fed(splitter, encode(BINARY, b"x" * 100_000, fin=False))
    fed(splitter, encode(CONTINUATION, length=MAX_LENGTH))
    assert splitter.violation is None


# What is held.


def test_held_of_a_control_frame() -> None:
    """A control frame is kept until its last byte is there."""
    splitter = FrameSplitter()
    frame = encode(PING, b"x" * 125)
    for count, byte in enumerate(one_by_one(frame), 1):
        fed(splitter, byte)
        assert len(splitter.held) == count % len(frame)


@pytest.mark.parametrize(("size", "header"), [(1, 6), (126, 8), (255, 8)])
def test_held_of_a_short_message(size: int, header: int) -> None:
    """Of a short message an incomplete header is kept, and no payload."""
    splitter = FrameSplitter()
    frame = encode(BINARY, b"x" * size)
    for count, byte in enumerate(one_by_one(frame[: header + 20]), 1):
        fed(splitter, byte)
        assert len(splitter.held) == (count if count < header else 0)


@pytest.mark.parametrize(
    ("size", "read"), [(2**10, 1), (2**16, 100), (2**20, 1448), (2**25, 20_000)]
)
def test_a_message_that_trickles_in(size: int, read: int) -> None:
    """Its parts are kept until they are worth a fragment, so that there are not too many."""
    splitter = FrameSplitter()
    frame = memoryview(encode(BINARY, bytes(size)))
    headers, arrived = 0, 0
    for start in range(0, len(frame), read):
        parts = splitter.feed(bytes(frame[start : start + read]))
        headers += len(parts[::2])
        arrived += sum(map(len, parts[1::2]))
        assert len(splitter.held) < min(MAX_HELD, max(15, size // FRAGMENTS))
    assert arrived == size
    assert headers <= FRAGMENTS + size // MAX_HELD + 1


def test_parts_in_many_fragments() -> None:
    """What a part is worth grows with the message, also if the client fragments it."""
    splitter = FrameSplitter()
    fragments, payload = 1000, bytes(2000)
    frames = [encode(BINARY, payload, fin=False)]
    frames += [encode(CONTINUATION, payload, fin=False)] * (fragments - 1)
    stream = b"".join(frames)
    headers = sum(
        len(splitter.feed(stream[start : start + 100])[::2]) for start in range(0, len(stream), 100)
    )
    assert headers < 2 * fragments


def test_text_is_not_held() -> None:
    """Of a text message nothing is kept."""
    splitter = FrameSplitter()
    assert splitter.feed(encode(TEXT, bytes(2**20))[:500]) == []
    assert len(splitter.held) == 0
