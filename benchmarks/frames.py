"""Frames of RFC 6455, built and counted without any I/O.

The load generator sends the same frames repeatedly, so they are masked once, beforehand. Received
frames are counted, not decoded: a relay may cut a message into any number of frames, so headers are
parsed and payload is only added up.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

CONTINUATION, BINARY, CLOSE = 0x0, 0x2, 0x8
MASK = b"\x37\xfa\x21\x3d"
_PATTERN_BYTES = 1 << 17
_SHORTEST_HEADER, _LONGEST_HEADER = 2, 14
# What the length byte says where the length itself follows, and in how many bytes.
_LONG, _LONGER = 126, 127
_LENGTH_BYTES = {_LONG: 2, _LONGER: 8}


class FrameError(Exception):
    """Unexpected frame of the relay."""


def frame(payload: bytes, *, masked: bool, opcode: int = BINARY, final: bool = True) -> bytes:
    """Build one frame, masked as a client's or plain as a server's."""
    size, mask_bit = len(payload), 0x80 if masked else 0
    first = (0x80 if final else 0) | opcode
    if size < _LONG:
        header = bytes((first, mask_bit | size))
    elif size < 1 << 16:
        header = bytes((first, mask_bit | _LONG)) + size.to_bytes(2)
    else:
        header = bytes((first, mask_bit | _LONGER)) + size.to_bytes(8)
    return header + (MASK + apply_mask(payload, MASK) if masked else payload)


def apply_mask(payload: bytes, key: bytes) -> bytes:
    """XOR a payload with a repeated four-byte key; a second call undoes the first."""
    # One XOR of two long integers is the fastest that plain Python has.
    size = len(payload)
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(keys)).to_bytes(size)


@dataclass(frozen=True)
class Header:
    """One parsed frame header; sizes in bytes."""

    final: bool
    opcode: int
    key: bytes
    header_size: int
    payload_size: int


def parse_header(data: bytes | memoryview, at: int = 0) -> Header | None:
    """Parse the frame header at an offset; None if it is incomplete."""
    head = bytes(data[at : at + _LONGEST_HEADER])
    if len(head) < _SHORTEST_HEADER:
        return None
    masked, short = head[1] & 0x80, head[1] & 0x7F
    length_end = _SHORTEST_HEADER + _LENGTH_BYTES.get(short, 0)
    end = length_end + (4 if masked else 0)
    if len(head) < end:
        return None
    size = int.from_bytes(head[2:length_end]) if short in _LENGTH_BYTES else short
    return Header(bool(head[0] & 0x80), head[0] & 0x0F, head[length_end:end], end, size)


def payload_of(data: bytes) -> bytes:
    """Join the payloads of whole data frames, without control frames."""
    parts, at = [], 0
    while at < len(data):
        header = parse_header(data, at)
        if header is None:
            raise FrameError("the last frame is cut off")
        start = at + header.header_size
        at = start + header.payload_size
        if header.opcode < CLOSE:
            part = data[start:at]
            parts.append(apply_mask(part, header.key) if header.key else part)
    return b"".join(parts)


@dataclass(frozen=True)
class Message:
    """One message of the load: its payload, and the frames to send and to expect."""

    payload: bytes
    sent: bytes
    arriving: bytes

    @classmethod
    def of_size(cls, size: int, *, unmasked_on_the_way: bool) -> Message:
        """Make a message of `size` random bytes, the same in every run."""
        payload = random.Random(size).randbytes(size)  # noqa: S311 - a load, not a secret
        sent = frame(payload, masked=True)
        return cls(payload, sent, frame(payload, masked=False) if unmasked_on_the_way else sent)


class Receiver:
    """Count messages and payload bytes of a stream of frames, in any chunks.

    `arriving` is the expected frame of each message. Runs of it are compared many at a time, so
    that counting small messages costs little more than copying them. Other frames (a fragment, a
    control frame) are parsed one by one.
    """

    def __init__(self, arriving: bytes) -> None:
        self.messages = 0
        self.payload_bytes = 0
        self._left = 0
        self._header: Header | None = None
        self._cut_header = b""
        self._period = len(arriving)
        self._payload_size = getattr(parse_header(arriving), "payload_size", 0)
        self._capacity = _PATTERN_BYTES // self._period
        self._pattern = arriving * self._capacity
        self._stride = 1

    def feed(self, data: bytes | memoryview) -> int:
        """Take received bytes; return the number of messages that they completed."""
        before = self.messages
        if self._cut_header:
            data, self._cut_header = self._cut_header + bytes(data), b""
        at, end = 0, len(data)
        while at < end:
            if self._left:
                step = min(self._left, end - at)
                at += step
                self._left -= step
                if not self._left:
                    self._end_of_frame()
                continue
            at += self._count_whole_frames(data, at)
            if at == end:
                break
            self._header = header = parse_header(data, at)
            if header is None:
                self._cut_header = bytes(data[at:])
                break
            if header.opcode == CLOSE:
                raise FrameError("the relay closed the connection")
            at += header.header_size
            self._left = header.payload_size
            if not self._left:
                self._end_of_frame()
        return self.messages - before

    def _end_of_frame(self) -> None:
        if self._header is not None and self._header.opcode < CLOSE:
            self.payload_bytes += self._header.payload_size
            self.messages += self._header.final

    def _count_whole_frames(self, data: bytes | memoryview, start: int) -> int:
        """Count expected frames from `start` on; return their size in bytes."""
        at, period = start, self._period
        # The stride doubles while it fits and halves where it does not, so a stray
        # fragment costs a few short comparisons, and none of them is repeated.
        while fitting := min(self._stride, (len(data) - at) // period, self._capacity):
            size = fitting * period
            if bytes(data[at : at + size]) == self._pattern[:size]:
                at += size
                self._stride = min(self._stride * 2, self._capacity)
            elif fitting == 1:
                break
            else:
                self._stride = fitting // 2
        count = (at - start) // period
        self.messages += count
        self.payload_bytes += count * self._payload_size
        return at - start
