"""Messages that arrive in parts: one frame up to `MAX_BUFFERED` bytes, fragments above."""

from __future__ import annotations

import gc
import struct
import weakref
from collections.abc import Iterator
from functools import cache

import pytest

from relay.protocol.frames import MAX_CONTROL
from relay.protocol.reframer import (
    MAX_BUFFERED,
    MAX_EMPTY_FRAGMENTS,
    TARGET_FRAGMENTS_PER_MESSAGE,
    Reframer,
)
from relay.protocol.violations import Violation
from tests.support.raw_client import BINARY, CLOSE, CONTINUATION, PING, TEXT, encode, encode_close
from tests.support.reframer_comparison import Recorder

from .test_reframer import KEY, MAX_LENGTH, WRONG, fed, mask, one_by_one, refusal, sent

Frame = tuple[int, bytes]
"""First byte of a server frame, and its payload."""

FIRST, MIDDLE, LAST, WHOLE = BINARY, CONTINUATION, 0x80 | CONTINUATION, 0x80 | BINARY


def pattern(size: int) -> bytes:
    """Return a payload in which nearby places differ."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def cut(data: bytes, read: int) -> list[bytes]:
    """Split data into reads of this size."""
    return [data[start : start + read] for start in range(0, len(data), read)]


def frames_of(data: bytes) -> Iterator[Frame]:
    """Parse server frames, which must be complete."""
    pos = 0
    while pos < len(data):
        first, length = data[pos], data[pos + 1]
        pos += 2
        if length >= 126:
            form = ">H" if length == 126 else ">Q"
            (length,) = struct.unpack_from(form, data, pos)
            pos += struct.calcsize(form)
        assert pos + length <= len(data)
        yield first, data[pos : pos + length]
        pos += length


@cache
def fragmented(sizes: tuple[int, ...], between: bytes = b"") -> tuple[bytes, bytes]:
    """Return a message in fragments of these sizes, with `between` behind each, and its payload."""
    payload = pattern(sum(sizes))
    stream, pos = bytearray(), 0
    for i, size in enumerate(sizes):
        opcode = CONTINUATION if i else BINARY
        fin = i == len(sizes) - 1
        stream += encode(opcode, payload[pos : pos + size], fin=fin)
        stream += b"" if fin else between
        pos += size
    return bytes(stream), payload


# Up to MAX_BUFFERED.


@pytest.mark.parametrize("size", [0, 1, 125, 126, 1000, MAX_BUFFERED - 1, MAX_BUFFERED])
@pytest.mark.parametrize("read", [1, 7, 1448, 2**20])
def test_short_message_is_one_frame_however_tcp_cuts_it(size: int, read: int) -> None:
    """A message of up to 64 KiB is forwarded in one frame, whatever the sizes of the reads."""
    payload = pattern(size)
    reframer = Reframer()
    stream = encode(BINARY, payload) * 2
    assert fed(reframer, *cut(stream, read)) == sent(BINARY, payload) * 2
    assert reframer.buffered == 0
    assert reframer.message_counts == {TEXT: 0, BINARY: 2}


FRAGMENTED = {
    "two": (10, 20),
    "one-byte": (1,) * 3000,
    "one-byte-of-64-kib": (1,) * MAX_BUFFERED,
    "uneven": (1, 300, 2, 125, 126, 5000, 3),
    "uneven-of-64-kib": (1, MAX_BUFFERED - 1000, 999),
    "empty-at-both-ends": (0, 100, 200, 0),
    "empty-in-between": (0, 0, 1, 0, 70, 0, 0, 200, 0, 5),
    "empty-after-64-kib": (MAX_BUFFERED, 0),
    "all-empty": (0, 0, 0),
}


@pytest.mark.parametrize("sizes", FRAGMENTED.values(), ids=FRAGMENTED)
@pytest.mark.parametrize("read", [1, 1448, 2**30])
def test_short_message_is_one_frame_however_it_is_fragmented(
    sizes: tuple[int, ...], read: int
) -> None:
    """A message of up to 64 KiB is forwarded in one frame, whatever the sender's fragments."""
    stream, payload = fragmented(sizes)
    reframer = Reframer()
    assert fed(reframer, *cut(stream[:-1], read)) == b""
    assert fed(reframer, stream[-1:]) == sent(BINARY, payload)
    assert reframer.buffered == 0


@pytest.mark.parametrize("sizes", FRAGMENTED.values(), ids=FRAGMENTED)
@pytest.mark.parametrize("read", [1, 2**30])
def test_control_frames_do_not_cut_a_short_message(sizes: tuple[int, ...], read: int) -> None:
    """A ping between two fragments is kept, and the message is still one frame."""
    ping = encode(PING, b"still there?")
    stream, payload = fragmented(sizes[:5000], between=ping)
    reframer = Recorder()
    assert fed(reframer, *cut(stream, read)) == sent(BINARY, payload)
    assert set(reframer.control) == {ping}


def test_message_of_exactly_64_kib_waits_for_its_last_byte() -> None:
    """Nothing of a message of 64 KiB is forwarded before it is complete."""
    assert MAX_BUFFERED == 64 * 1024
    payload = pattern(MAX_BUFFERED)
    frame = encode(BINARY, payload)
    reframer = Reframer()
    assert fed(reframer, frame[:-1]) == b""
    assert reframer.buffered == MAX_BUFFERED - 1
    assert fed(reframer, frame[-1:]) == sent(BINARY, payload)


# Above MAX_BUFFERED.


def test_message_of_a_byte_more_than_64_kib_is_cut_through() -> None:
    """Payload of a message of 64 KiB and 1 is forwarded once it suffices for a fragment."""
    payload = pattern(MAX_BUFFERED + 1)
    frame = encode(BINARY, payload)
    header, worth = len(frame) - len(payload), (MAX_BUFFERED + 1) // TARGET_FRAGMENTS_PER_MESSAGE
    reframer = Reframer()
    assert fed(reframer, frame[: header + worth - 1]) == b""
    assert reframer.buffered == worth - 1
    assert fed(reframer, frame[header + worth - 1 : header + worth]) == sent(
        BINARY, payload[:worth], fin=False
    )
    assert reframer.buffered == 0
    assert fed(reframer, frame[header + worth :]) == sent(CONTINUATION, payload[worth:])


def test_long_message_that_is_complete_is_one_frame() -> None:
    """A longer message that arrives in one read is not cut."""
    stream, payload = fragmented((MAX_BUFFERED, 1))
    assert fed(Reframer(), stream) == sent(BINARY, payload)
    payload = pattern(3 * MAX_BUFFERED)
    assert fed(Reframer(), encode(BINARY, payload)) == sent(BINARY, payload)


def test_first_frame_of_a_long_message_carries_the_buffer() -> None:
    """Payload buffered from earlier fragments is in the first frame, ahead of the new payload."""
    payload = pattern(160_000)
    reframer = Reframer()
    assert fed(reframer, encode(BINARY, payload[:60_000], fin=False), encode(PING)) == b""
    assert reframer.buffered == 60_000
    frame = encode(CONTINUATION, payload[60_000:])
    cuts = len(frame) - 90_000, len(frame) - 80_000
    assert fed(reframer, frame[: cuts[0]]) == sent(BINARY, payload[:70_000], fin=False)
    assert reframer.buffered == 0
    assert fed(reframer, frame[cuts[0] : cuts[1]]) == sent(
        CONTINUATION, payload[70_000:80_000], fin=False
    )
    assert fed(reframer, frame[cuts[1] :]) == sent(CONTINUATION, payload[80_000:])


def test_fragment_that_makes_a_message_long() -> None:
    """A message that grows above 64 KiB is forwarded before its end is known."""
    payload = pattern(MAX_BUFFERED + 1)
    reframer = Reframer()
    assert fed(reframer, encode(BINARY, payload[:-1], fin=False)) == b""
    assert reframer.buffered == MAX_BUFFERED
    frame = encode(CONTINUATION, payload[-1:], fin=False)
    assert fed(reframer, frame[:-1]) == b""
    assert fed(reframer, frame[-1:]) == sent(BINARY, payload, fin=False)
    assert fed(reframer, encode(CONTINUATION, fin=False)) == b""
    assert fed(reframer, encode(CONTINUATION)) == sent(CONTINUATION)


def test_message_after_a_long_one() -> None:
    """The message after a message that was cut through is buffered until it is complete."""
    frame = encode(BINARY, pattern(2 * MAX_BUFFERED))
    reframer = Reframer()
    fed(reframer, *cut(frame, 1448))
    short = encode(BINARY, b"short")
    assert fed(reframer, short[:-1]) == b""
    assert fed(reframer, short[-1:]) == sent(BINARY, b"short")


def test_huge_frame_is_forwarded_in_fragments_of_64_kib() -> None:
    """A frame of the largest length is forwarded 64 KiB at a time."""
    reframer = Recorder()
    header = b"\x82\xff" + struct.pack("!Q", MAX_LENGTH) + KEY
    part = b"x" * MAX_BUFFERED
    assert fed(reframer, header + mask(part)[:-1]) == b""
    assert reframer.buffered == MAX_BUFFERED - 1
    assert fed(reframer, mask(part)[-1:]) == sent(BINARY, part, fin=False)
    assert reframer.buffered == 0
    assert fed(reframer, mask(part)) == sent(CONTINUATION, part, fin=False)
    assert reframer.end is None


@pytest.mark.parametrize(
    ("size", "read"),
    [(MAX_BUFFERED + 1, 1), (2**17, 100), (2**20, 1448), (2**25, 20_000), (2**25, 2**18)],
)
def test_long_message_that_arrives_slowly(size: int, read: int) -> None:
    """The fragments have a minimum size, so that their number stays low."""
    payload = pattern(size)
    worth = min(MAX_BUFFERED, size // TARGET_FRAGMENTS_PER_MESSAGE)
    reframer, got = Reframer(), list[Frame]()
    for piece in cut(encode(BINARY, payload), read):
        got += frames_of(fed(reframer, piece))
        assert reframer.buffered < max(14, worth)
    assert b"".join(part for _, part in got) == payload
    assert [first for first, _ in got] == [FIRST, *[MIDDLE] * (len(got) - 2), LAST]
    assert all(worth <= len(part) < worth + read for _, part in got[:-1])
    assert len(got) <= TARGET_FRAGMENTS_PER_MESSAGE + size // MAX_BUFFERED + 1


@pytest.mark.parametrize("fragment", [1, 5, 2000])
@pytest.mark.parametrize("read", [100, 2**16])
def test_long_message_in_many_fragments(fragment: int, read: int) -> None:
    """The sender's fragments are joined, also if each announces only a part of the size."""
    size = 2 * MAX_BUFFERED
    stream, payload = fragmented((*[fragment] * (size // fragment), size % fragment))
    reframer, got = Reframer(), list[Frame]()
    for piece in cut(stream, read):
        got += frames_of(fed(reframer, piece))
    assert b"".join(part for _, part in got) == payload
    assert len(got[0][1]) > MAX_BUFFERED - fragment
    assert all(len(part) >= MAX_BUFFERED // TARGET_FRAGMENTS_PER_MESSAGE for _, part in got[:-1])
    assert len(got) <= TARGET_FRAGMENTS_PER_MESSAGE + size // MAX_BUFFERED + 1


def test_limit_ends_a_message_that_was_cut_through() -> None:
    """The forwarded part of a message above the limit gets no end, and the rest is dropped."""
    limit = 2 * MAX_BUFFERED
    reframer = Recorder(limit)
    payload = pattern(limit)
    assert fed(reframer, encode(BINARY, payload[:-10], fin=False)) == sent(
        BINARY, payload[:-10], fin=False
    )
    assert fed(reframer, encode(CONTINUATION, payload[-10:], fin=False)) == b""
    assert reframer.buffered == 10
    assert fed(reframer, encode(CONTINUATION, b"y")) == b""
    assert refusal(reframer) == (1009, "message too big")
    assert reframer.buffered == 0


# Held bytes.


def test_buffered_control_frame() -> None:
    """A control frame is buffered until its last byte has arrived."""
    reframer = Reframer()
    frame = encode(PING, b"x" * 125)
    for count, byte in enumerate(one_by_one(frame), 1):
        fed(reframer, byte)
        assert reframer.buffered == count % len(frame)


@pytest.mark.parametrize(("size", "header"), [(1, 6), (126, 8), (255, 8), (2**16, 14)])
def test_buffered_short_message(size: int, header: int) -> None:
    """An incomplete header of a short message is buffered, and then its payload."""
    reframer = Reframer()
    frame = encode(BINARY, b"x" * size)
    for count, byte in enumerate(one_by_one(frame), 1):
        fed(reframer, byte)
        arrived = count if count < header else count - header
        assert reframer.buffered == (arrived if count < len(frame) else 0)


def test_maximum_of_the_buffer() -> None:
    """A full buffer and a control frame without its last byte are the maximum."""
    reframer = Reframer()
    fed(reframer, encode(BINARY, bytes(MAX_BUFFERED), fin=False), encode(PING, bytes(125))[:-1])
    assert reframer.buffered == MAX_BUFFERED + MAX_CONTROL - 1


@pytest.mark.parametrize(
    "end",
    [encode_close(1000), encode(CLOSE), encode(BINARY), encode(3)],
    ids=["close", "close-without-code", "data-inside-a-message", "reserved-opcode"],
)
def test_end_releases_the_buffer(end: bytes) -> None:
    """A close frame or a violation drops a full buffer without forwarding it."""
    for pieces in ([end], one_by_one(end)):
        reframer = Recorder()
        fed(reframer, encode(BINARY, bytes(MAX_BUFFERED), fin=False))
        assert reframer.buffered == MAX_BUFFERED
        assert fed(reframer, *pieces, encode(CONTINUATION)) == b""
        assert reframer.end is not None
        assert reframer.buffered == 0


@pytest.mark.parametrize(
    "sizes",
    [[2**20], [1] * 500, [0, 5, 0, 300, 0], [70_000, 1, 125, 70_000], [0, 0]],
    ids=["whole", "one-byte", "empty", "long", "all-empty"],
)
@pytest.mark.parametrize("read", [1, 1448, 2**30])
def test_text_is_not_buffered(sizes: list[int], read: int) -> None:
    """No byte of a text message is buffered, in any fragments and reads."""
    reframer = Reframer()
    for i, size in enumerate(sizes):
        opcode = CONTINUATION if i else TEXT
        frame = encode(opcode, bytes(size), fin=i == len(sizes) - 1)
        header = len(frame) - size
        assert reframer.feed(frame[:header]) == ([], (), None)
        assert reframer.buffered == 0
        for piece in cut(frame[header:][:100_000], read):
            assert reframer.feed(piece) == ([], (), None)
            assert reframer.buffered == 0
        assert reframer.feed(frame[header:][100_000:]) == ([], (), None)
    assert reframer.buffered == 0
    assert reframer.message_counts == {TEXT: 1, BINARY: 0}


# Memory.


class Watched(Reframer):
    """Reframer that a weak reference can refer to."""

    __slots__ = ("__weakref__",)


FAULTS = {
    **{name: before + frame for name, (before, frame, _) in WRONG.items()},
    "reason": encode(CLOSE, b"\x03\xe8\xff"),
    "too-big": encode(BINARY, b"x" * 1001),
    "flood": encode(BINARY, fin=False) + encode(CONTINUATION, fin=False) * MAX_EMPTY_FRAGMENTS,
}


@pytest.mark.parametrize("stream", FAULTS.values(), ids=FAULTS)
def test_reframer_is_freed_with_its_last_reference(stream: bytes) -> None:
    """After a violation, no reference cycle keeps a reframer for the garbage collector."""
    gc.disable()
    try:
        reframer = Watched(1000)
        _, _, end = reframer.feed(stream)
        reference = weakref.ref(reframer)
        assert isinstance(end, Violation)
        del reframer
        assert reference() is None
    finally:
        gc.enable()
