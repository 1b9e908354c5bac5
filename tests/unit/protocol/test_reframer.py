"""Rules of RFC 6455 for the frames of one client, one by one.

`test_reframer_whole_messages` has the rules for messages that arrive in parts.
"""

from __future__ import annotations

import struct

import pytest

from relay.protocol.frames import PING_FRAME, apply_mask, server_header, validate_close_payload
from relay.protocol.reframer import MAX_CONTROLS, MAX_EMPTY_FRAGMENTS, Reframer
from relay.protocol.violations import CloseCode, ProtocolError, Violation
from tests.support.raw_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    encode,
    encode_close,
)
from tests.support.reframer_comparison import Recorder

KEY = b"\x01\x02\x04\x80"
MAX_LENGTH = 2**63 - 1


def mask(payload: bytes, key: bytes = KEY) -> bytes:
    """Return payload masked as in RFC 6455 section 5.3, in the simplest way."""
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def sent(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Return the server frame that the peer should get."""
    first, length = 0x80 * fin | opcode, len(payload)
    if length <= 125:
        return bytes((first, length)) + payload
    if length < 2**16:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


def fed(reframer: Reframer, *pieces: bytes) -> bytes:
    """Feed the pieces one by one and return all frames for the peer."""
    return b"".join(b"".join(reframer.feed(piece)[0]) for piece in pieces)


def one_by_one(data: bytes) -> list[bytes]:
    """Split data into single bytes."""
    return [data[i : i + 1] for i in range(len(data))]


def refusal(reframer: Recorder) -> tuple[int, str]:
    """Return the code and the reason of the required violation."""
    assert isinstance(reframer.end, Violation)
    return reframer.end


# The pieces of a frame.


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 125, 1000])
def test_masking_is_that_of_the_rfc(size: int) -> None:
    """The masker in use implements section 5.3."""
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
    """Of all 65,536 close codes exactly those are valid that section 7.4 allows clients."""
    passed = set()
    for code in range(2**16):
        try:
            validate_close_payload(struct.pack("!H", code))
        except ProtocolError as violation:
            assert violation.code == CloseCode.PROTOCOL_ERROR  # noqa: PT017 - both ways are good
        else:
            passed.add(code)
    assert passed == {1000, 1001, 1002, 1003} | set(range(1007, 1015)) | set(range(3000, 5000))


def test_ping_of_the_relay_has_a_payload() -> None:
    """A ping of the relay is one unmasked frame with a payload of five bytes."""
    assert PING_FRAME == b"\x89\x05relay"


# Whole messages.


@pytest.mark.parametrize("size", [0, 1, 2, 124, 125, 126, 127, 65535, 65536, 70000])
def test_binary_message_is_forwarded(size: int) -> None:
    """A binary message that arrives in one read is forwarded in one frame, unmasked."""
    payload = bytes(i % 251 for i in range(size))
    reframer = Recorder()
    assert fed(reframer, encode(BINARY, payload)) == sent(BINARY, payload)
    assert (reframer.buffered, reframer.control) == (0, [])


def test_messages_of_one_read_stay_in_order() -> None:
    """Many messages in one read, short and long, are forwarded in order, with their borders."""
    payloads = [b"one", b"", b"x" * 300, b"two", b"y" * 70000, b"\xff" * 125, b"z"]
    reframer = Recorder()
    stream = b"".join(encode(BINARY, payload) for payload in payloads)
    assert fed(reframer, stream) == b"".join(sent(BINARY, payload) for payload in payloads)


def test_nothing_gives_nothing() -> None:
    """An empty read changes nothing, also inside a header."""
    reframer = Recorder()
    frame = encode(BINARY, b"abc")
    assert fed(reframer, b"", frame[:3], b"") == b""
    assert reframer.buffered == 3
    assert fed(reframer, frame[3:]) == sent(BINARY, b"abc")


# Fragments.


def test_fragments_become_one_frame() -> None:
    """The fragments of a short message are buffered, and forwarded in one frame."""
    fragments = (
        encode(BINARY, b"a", fin=False),
        encode(CONTINUATION, b"bc", fin=False),
        encode(CONTINUATION, b"d"),
    )
    reframer = Recorder()
    assert fed(reframer, *fragments[:2]) == b""
    assert reframer.buffered == 3
    assert fed(reframer, fragments[2]) == sent(BINARY, b"abcd")
    assert reframer.buffered == 0
    assert fed(Recorder(), b"".join(fragments)) == sent(BINARY, b"abcd")


def test_message_after_a_fragmented_one() -> None:
    """The message after a fragmented one has none of its payload."""
    reframer = Recorder()
    fed(reframer, encode(BINARY, b"a", fin=False), encode(CONTINUATION, b"b"))
    assert fed(reframer, encode(BINARY, b"c")) == sent(BINARY, b"c")
    assert fed(reframer, encode(BINARY, b"d", fin=False)) == b""
    assert fed(reframer, encode(CONTINUATION)) == sent(BINARY, b"d")


def test_empty_fragments_are_left_out() -> None:
    """An empty fragment produces no frame, unless it ends the message."""
    reframer = Recorder()
    assert fed(reframer, encode(BINARY, fin=False), encode(CONTINUATION, fin=False)) == b""
    assert fed(reframer, encode(CONTINUATION, b"a", fin=False)) == b""
    assert fed(reframer, encode(CONTINUATION, fin=False)) == b""
    assert fed(reframer, encode(CONTINUATION)) == sent(BINARY, b"a")


def test_message_of_empty_fragments_is_an_empty_message() -> None:
    """A message of empty fragments is forwarded as one empty message."""
    reframer = Recorder()
    fragments = encode(BINARY, fin=False) + encode(CONTINUATION, fin=False) + encode(CONTINUATION)
    assert fed(reframer, fragments) == sent(BINARY)
    assert fed(reframer, encode(BINARY, b"next")) == sent(BINARY, b"next")


@pytest.mark.parametrize("opcode", [BINARY, TEXT])
def test_empty_fragments_may_be_many(opcode: int) -> None:
    """The permitted number of empty fragments applies to each message anew."""
    reframer = Recorder()
    message = (
        encode(opcode, fin=False)
        + encode(CONTINUATION, fin=False) * (MAX_EMPTY_FRAGMENTS - 1)
        + encode(CONTINUATION)
    )
    assert fed(reframer, message * 3) == (sent(BINARY) * 3 if opcode == BINARY else b"")
    assert reframer.end is None


@pytest.mark.parametrize("opcode", [BINARY, TEXT])
def test_too_many_empty_fragments(opcode: int) -> None:
    """One empty fragment above the limit is refused, with or without payload between them."""
    reframer = Recorder()
    flood = encode(opcode, fin=False) + encode(CONTINUATION, fin=False) * (MAX_EMPTY_FRAGMENTS - 1)
    fed(reframer, flood, encode(CONTINUATION, b"x", fin=False))
    assert reframer.end is None
    fed(reframer, encode(CONTINUATION, fin=False))
    assert refusal(reframer) == (1008, "too many empty fragments")


def test_one_byte_fragments_are_no_flood() -> None:
    """Any number of one-byte fragments is accepted, because the byte limit counts them."""
    reframer = Recorder()
    count = 3 * MAX_EMPTY_FRAGMENTS
    stream = encode(BINARY, b"x", fin=False) + encode(CONTINUATION, b"x", fin=False) * count
    assert fed(reframer, stream) == b""
    assert (reframer.end, reframer.buffered) == (None, count + 1)
    assert fed(reframer, encode(CONTINUATION)) == sent(BINARY, b"x" * (count + 1))


def test_part_of_a_frame_waits_for_the_rest() -> None:
    """A frame that arrives in parts is buffered until its last byte, and forwarded in one frame."""
    reframer = Recorder()
    frame = encode(BINARY, b"abcdef")
    assert fed(reframer, frame[:6]) == b""
    assert reframer.buffered == 0
    assert fed(reframer, frame[6:8], frame[8:11]) == b""
    assert reframer.buffered == 5
    assert fed(reframer, frame[11:]) == sent(BINARY, b"abcdef")


def test_fin_waits_for_the_last_fragment() -> None:
    """Only the last byte of the last fragment ends the message."""
    reframer = Recorder()
    frame = encode(BINARY, b"abcd", fin=False)
    assert fed(reframer, frame[:8], frame[8:]) == b""
    frame = encode(CONTINUATION, b"efgh")
    assert fed(reframer, frame[:8]) == b""
    assert fed(reframer, frame[8:] + encode(BINARY, b"next")) == (
        sent(BINARY, b"abcdefgh") + sent(BINARY, b"next")
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 9])
def test_key_turns_with_the_payload(size: int) -> None:
    """Each part of a frame that is cut anywhere is unmasked with the right bytes of the key."""
    payload = bytes(range(50))
    frame = b"\x82" + bytes((0x80 | len(payload),)) + KEY + mask(payload)
    pieces = [frame[i : i + size] for i in range(0, len(frame), size)]
    assert fed(Recorder(), *pieces) == sent(BINARY, payload)


def test_each_frame_has_its_own_key() -> None:
    """A new fragment starts at the first byte of its own key."""
    other = b"\xaa\xbb\xcc\xdd"
    first = b"\x02\x83" + KEY + mask(b"abc")
    second = b"\x80\x83" + other + mask(b"def", other)
    assert fed(Recorder(), *one_by_one(first + second)) == sent(BINARY, b"abcdef")
    assert fed(Recorder(), first + second) == sent(BINARY, b"abcdef")


# Text.


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65536])
def test_text_is_dropped(size: int) -> None:
    """A text message is dropped, and the data behind it is forwarded."""
    reframer = Recorder()
    stream = encode(TEXT, b"t" * size) + encode(BINARY, b"last")
    assert fed(reframer, stream) == sent(BINARY, b"last")
    assert fed(reframer, *one_by_one(stream)) == sent(BINARY, b"last")


def test_text_is_not_read() -> None:
    """Text that is not UTF-8 is dropped like any other, because the relay does not decode it."""
    reframer = Recorder()
    assert fed(reframer, encode(TEXT, b"\xff\xfe"), encode(BINARY, b"b")) == sent(BINARY, b"b")


def test_fragmented_text_is_dropped() -> None:
    """No fragment of a text message is forwarded, and a binary message may follow it."""
    reframer = Recorder()
    fragments = (
        encode(TEXT, b"a", fin=False)
        + encode(CONTINUATION, fin=False)
        + encode(CONTINUATION, b"b" * 200, fin=False)
        + encode(CONTINUATION, b"c")
    )
    assert fed(reframer, fragments) == b""
    assert fed(reframer, *one_by_one(fragments)) == b""
    assert fed(reframer, encode(BINARY, b"next")) == sent(BINARY, b"next")


def test_text_with_control_frames_between_is_dropped() -> None:
    """Control frames between the fragments of a text message are kept, and the text is dropped."""
    reframer = Recorder()
    pings = [encode(PING, b"1"), encode(PING, b"2")]
    stream = encode(TEXT, b"a", fin=False) + pings[0] + encode(CONTINUATION, fin=False) + pings[1]
    assert fed(reframer, stream + encode(CONTINUATION, b"b")) == b""
    assert reframer.control == pings
    assert fed(reframer, encode(BINARY, b"next")) == sent(BINARY, b"next")


def test_text_of_any_size_is_dropped() -> None:
    """Text is dropped as it arrives: it is neither buffered nor counted against the size limit."""
    reframer = Recorder(max_message_size=10)
    header = b"\x81\xff" + struct.pack("!Q", 2**40) + KEY
    assert fed(reframer, header, *[b"t" * 65536] * 10) == b""
    assert reframer.buffered == 0
    assert reframer.end is None


# Control frames.


@pytest.mark.parametrize("opcode", [PING, PONG])
@pytest.mark.parametrize("size", [0, 1, 125])
def test_control_frame_is_kept_as_it_came(opcode: int, size: int) -> None:
    """A control frame is never forwarded; it is returned whole, still masked."""
    frame = encode(opcode, b"x" * size)
    for pieces in ([frame], one_by_one(frame)):
        reframer = Recorder()
        assert fed(reframer, *pieces) == b""
        assert reframer.control == [frame]
        assert (reframer.buffered, reframer.end) == (0, None)


def test_control_frames_between_fragments() -> None:
    """Control frames between the fragments of a message do not change it."""
    reframer = Recorder()
    pong, ping = encode(PONG), encode(PING, b"ping")
    stream = encode(BINARY, b"a", fin=False) + pong + encode(CONTINUATION, b"b", fin=False) + ping
    assert fed(reframer, stream + encode(CONTINUATION, b"c")) == sent(BINARY, b"abc")
    assert reframer.control == [pong, ping]


def test_latest_pings_are_kept() -> None:
    """Only the latest pings of a flood are kept, never more than twice their number."""
    pings = [encode(PING, b"%d" % i) for i in range(10 * MAX_CONTROLS)]
    for count in range(1, len(pings) + 1):
        reframer = Recorder()
        fed(reframer, b"".join(pings[:count]))
        kept = len(reframer.control)
        assert min(count, MAX_CONTROLS) <= kept <= 2 * MAX_CONTROLS
        assert kept == count or count > 2 * MAX_CONTROLS
        assert reframer.control == pings[count - kept : count]


def test_ping_that_is_one_too_many() -> None:
    """The ping after twice the permitted number leaves only the latest ones in the list."""
    reframer = Recorder()
    pings = [encode(PING, b"%d" % i) for i in range(2 * MAX_CONTROLS + 1)]
    assert reframer.feed(b"".join(pings[:-1])) == ([], pings[:-1], None)
    assert reframer.feed(b"".join(pings)) == ([], pings[-MAX_CONTROLS:], None)


def test_only_the_first_control_frame_of_a_read_may_be_a_pong() -> None:
    """A pong is kept only if no control frame precedes it in its read, and a ping may follow it."""
    reframer = Recorder()
    pongs = [encode(PONG, b"%d" % i) for i in range(100)]
    ping = encode(PING)
    assert reframer.feed(b"".join(pongs)) == ([], pongs[:1], None)
    assert reframer.feed(pongs[0] + ping + pongs[1]) == ([], [pongs[0], ping], None)
    assert reframer.feed(ping + pongs[1]) == ([], [ping], None)
    assert reframer.feed(pongs[2]) == ([], [pongs[2]], None)


def test_each_read_has_its_own_control_frames() -> None:
    """A read returns the control frames that it completes, and no earlier ones."""
    reframer = Recorder()
    first, second = encode(PING, b"1"), encode(PING, b"2")
    assert reframer.feed(first + second[:-1]) == ([], [first], None)
    assert reframer.feed(second[-1:]) == ([], [second], None)
    assert reframer.feed(encode(BINARY)[:1]) == ([], (), None)


# The end.

CLOSE_FRAMES = {
    "empty": encode(CLOSE),
    "code": encode_close(1000),
    "reason": encode_close(4999, "grüße"),
    "longest": encode_close(3000, "r" * 123),
}


@pytest.mark.parametrize("frame", CLOSE_FRAMES.values(), ids=CLOSE_FRAMES)
def test_nothing_after_a_close_frame_is_read(frame: bytes) -> None:
    """Messages before a close frame are forwarded; every byte after it is ignored."""
    for rest in (encode(BINARY, b"late"), encode(PING), frame, b"\xff" * 20, b"\x82"):
        reframer = Recorder()
        assert fed(reframer, encode(BINARY, b"early") + frame + rest) == sent(BINARY, b"early")
        assert reframer.end == frame
        assert fed(reframer, rest, *one_by_one(rest)) == b""
        assert (reframer.buffered, reframer.end) == (0, frame)


def test_close_frame_may_come_byte_by_byte() -> None:
    """A close frame counts once its last byte has arrived."""
    reframer = Recorder()
    frame = encode_close(1001, "bye")
    fed(reframer, *one_by_one(frame[:-1]))
    assert reframer.end is None
    fed(reframer, frame[-1:])
    assert reframer.end == frame


def test_close_frame_inside_a_message() -> None:
    """A client may close inside a message, whose payload is then dropped."""
    reframer = Recorder()
    stream = encode(BINARY, b"half", fin=False) + encode_close(1000) + encode(CONTINUATION, b"no")
    assert fed(reframer, stream) == b""
    assert isinstance(reframer.end, bytes)
    assert (reframer.buffered, reframer.message_counts) == (0, {TEXT: 0, BINARY: 0})


@pytest.mark.parametrize("frame", CLOSE_FRAMES.values(), ids=CLOSE_FRAMES)
def test_close_frame_is_alone(frame: bytes) -> None:
    """A close frame replaces the control frames before it, also in a full list."""
    for count in (1, 2 * MAX_CONTROLS):
        assert Reframer().feed(encode(PING) * count + frame) == ([], (), frame)


def test_close_code_of_a_gateway_is_accepted() -> None:
    """Close code 1014 is in the registry, and closes like any other."""
    reframer = Recorder()
    frame = encode_close(1014, "bad gateway")
    fed(reframer, frame)
    assert reframer.end == frame


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
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)
    },
}
PREFIX = encode(BINARY, b"before")


@pytest.mark.parametrize(("before", "frame", "reason"), WRONG.values(), ids=WRONG)
def test_violation(before: bytes, frame: bytes, reason: str) -> None:
    """A wrong frame is a violation with 1002: earlier data is forwarded, later data is not."""
    for pieces in ([PREFIX + before + frame], [PREFIX, before, *one_by_one(frame[:300])]):
        reframer = Recorder()
        assert fed(reframer, *pieces) == sent(BINARY, b"before")
        assert refusal(reframer) == (1002, reason)
        assert fed(reframer, frame, encode(BINARY, b"after"), encode(PING), encode(CLOSE)) == b""
        assert refusal(reframer) == (1002, reason)
        assert reframer.buffered == 0


@pytest.mark.parametrize("reason", [b"\xff", b"\xc3", b"ok \xed\xa0\x80", b"r" * 122 + b"\xe2"])
def test_close_reason_must_be_text(reason: bytes) -> None:
    """A close reason that is not UTF-8 is a violation with its own code."""
    reframer = Recorder()
    assert fed(reframer, close_with(struct.pack("!H", 1000) + reason)) == b""
    assert refusal(reframer) == (1007, "close reason is not valid UTF-8")


def test_bad_code_matters_more_than_a_bad_reason() -> None:
    """A close frame with a wrong code and a wrong reason is a protocol error."""
    reframer = Recorder()
    fed(reframer, close_with(struct.pack("!H", 999) + b"\xff"))
    assert refusal(reframer) == (1002, "invalid close code")


@pytest.mark.parametrize("name", ["reserved-4-2", "opcode-3", "unmasked", "stray", "inside-text-2"])
def test_two_bytes_tell_most_violations(name: str) -> None:
    """A fault in the first two bytes of a frame is found without a third byte."""
    before, frame, reason = WRONG[name]
    reframer = Recorder()
    fed(reframer, before, frame[:1])
    assert reframer.end is None
    fed(reframer, frame[1:2])
    assert refusal(reframer) == (1002, reason)


def test_violation_after_a_part_of_a_message() -> None:
    """A violation drops the payload of its message."""
    reframer = Recorder()
    assert fed(reframer, encode(BINARY, b"half", fin=False)) == b""
    assert reframer.buffered == 4
    assert fed(reframer, encode(BINARY, b"x")) == b""
    assert refusal(reframer) == (1002, "message begins inside another one")
    assert (reframer.buffered, reframer.message_counts) == (0, {TEXT: 0, BINARY: 0})


def test_violation_leaves_no_control_frame() -> None:
    """A violation drops the control frames of its read."""
    reframer = Recorder()
    fed(reframer, encode(PING) + encode(PONG) + encode(3))
    assert reframer.control == []
    assert refusal(reframer) == (1002, "unknown opcode")


@pytest.mark.parametrize(
    ("length", "length_size"), [(126, 2), (65535, 2), (65536, 8), (MAX_LENGTH, 8)]
)
def test_shortest_lengths_are_good(length: int, length_size: int) -> None:
    """A length in its shortest form is no violation."""
    reframer = Recorder()
    fed(reframer, encode(BINARY, length=length, length_size=length_size))
    assert reframer.end is None


# The size limit.

LIMITS = [1, 2, 5, 64, 124, 125, 126, 127, 65535, 65536]


@pytest.mark.parametrize("limit", LIMITS)
def test_message_at_the_limit_passes(limit: int) -> None:
    """A message of exactly the limit passes repeatedly, whole or in fragments."""
    reframer = Recorder(limit)
    payload = b"x" * limit
    assert fed(reframer, encode(BINARY, payload) * 2) == sent(BINARY, payload) * 2
    fragments = encode(BINARY, payload[:-1], fin=False) + encode(CONTINUATION, b"x")
    assert fed(reframer, fragments * 2 + fragments[:-1], fragments[-1:]) == (
        sent(BINARY, payload) * 3
    )
    assert reframer.end is None


@pytest.mark.parametrize("limit", LIMITS)
def test_message_over_the_limit_is_refused(limit: int) -> None:
    """A message with one byte more is refused, without any byte of the frame above the limit."""
    reframer = Recorder(limit)
    assert fed(reframer, encode(BINARY, b"x" * (limit + 1)), encode(BINARY, b"y")) == b""
    assert refusal(reframer) == (1009, "message too big")


@pytest.mark.parametrize("limit", LIMITS)
def test_fragments_over_the_limit_are_refused(limit: int) -> None:
    """The lengths of all fragments of a message are added, without control frames."""
    reframer = Recorder(limit)
    start = encode(BINARY, b"x" * limit, fin=False)
    assert fed(reframer, start, encode(PING, b"p" * 125)) == b""
    assert reframer.end is None
    assert fed(reframer, encode(CONTINUATION, b"y")) == b""
    assert refusal(reframer) == (1009, "message too big")
    assert reframer.buffered == 0


def test_limit_is_enforced_by_the_announced_length() -> None:
    """A header suffices to refuse a message, without its payload."""
    reframer = Recorder(100 * 2**20)
    header = b"\x82\xff" + struct.pack("!Q", MAX_LENGTH) + KEY
    fed(reframer, header[:-1])
    assert reframer.end is None
    fed(reframer, header[-1:])
    assert refusal(reframer) == (1009, "message too big")


def test_no_limit() -> None:
    """A limit of 0 is none: any two fragments of any lengths may follow each other."""
    reframer = Recorder(0)
    fed(reframer, encode(BINARY, b"x" * 100_000, fin=False))
    fed(reframer, encode(CONTINUATION, length=MAX_LENGTH))
    assert reframer.end is None
