"""Frames of a client: encode them, decode those of the relay, and break rules. Pure.

The module shares no code with the relay, so that a fault of the relay does not cancel out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

KEY: Final = b"\x9d\x04\xe6\x5b"
"""Masking key. A fixed key makes a run replayable."""

SHORT, MEDIUM, LONG = 125, 126, 127
MAX_MEDIUM = 0xFFFF


def encode(
    opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, mask: bool = True
) -> bytes:
    """Return a frame of a client."""
    size, flag = len(payload), 0x80 * mask
    first = bytes((0x80 * fin | reserved << 4 | opcode,))
    if size <= SHORT:
        head = first + bytes((flag | size,))
    elif size <= MAX_MEDIUM:
        head = first + struct.pack("!BH", flag | MEDIUM, size)
    else:
        head = first + struct.pack("!BQ", flag | LONG, size)
    return head + (KEY + masked(payload) if mask else payload)


def masked(payload: bytes) -> bytes:
    """Return a payload masked with `KEY`."""
    size = len(payload)
    keys = (KEY * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(keys)).to_bytes(size)


def close_payload(code: int, reason: str) -> bytes:
    """Return the payload of a close frame."""
    return struct.pack("!H", code) + reason.encode()


def parse_close(payload: bytes) -> tuple[int, str]:
    """Return code and reason of a close frame; 1005 if the frame has no code."""
    if not payload:
        return 1005, ""
    return struct.unpack_from("!H", payload)[0], payload[2:].decode()


class Frame(NamedTuple):
    """Frame of the relay."""

    opcode: int
    fin: bool
    payload: bytes


class FrameError(Exception):
    """Bytes of the relay that are no frame which a server may send."""


class Decoder:
    """Incremental decoder of the frames of the relay."""

    def __init__(self) -> None:
        self._unread = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that the next bytes complete; raise FrameError for an invalid frame."""
        self._unread += data
        frames, unread = [], self._unread
        while len(unread) >= 2:
            first, size = unread[0], unread[1]
            if first & 0x70 or size & 0x80 or first & 0x0F not in {0, 2, 8, 9, 10}:
                raise FrameError(f"no frame of a server: {first:#04x} {size:#04x}")
            start = 2 + {MEDIUM: 2, LONG: 8}.get(size, 0)
            if len(unread) < start:
                break
            size = int.from_bytes(unread[2:start]) if start > 2 else size
            if len(unread) < start + size:
                break
            frames.append(
                Frame(first & 0x0F, bool(first & 0x80), bytes(unread[start : start + size]))
            )
            del unread[: start + size]
        return frames

    @property
    def unread(self) -> int:
        """Number of bytes of an incomplete frame."""
        return len(self._unread)


class Violation(NamedTuple):
    """Bytes that break a rule, and the close code of the relay for them."""

    code: int
    data: Callable[[int], bytes]
    """Function of ``max_message_size`` that returns the bytes."""


VIOLATIONS: Final = {
    "reserved bit set": Violation(1002, lambda _: encode(BINARY, b"x", reserved=4)),
    "unknown opcode": Violation(1002, lambda _: encode(3, b"x")),
    "frame is not masked": Violation(1002, lambda _: encode(BINARY, b"x", mask=False)),
    "fragmented control frame": Violation(1002, lambda _: encode(PING, fin=False)),
    "control frame is too long": Violation(1002, lambda _: encode(PING, bytes(126))),
    "continuation without a message": Violation(1002, lambda _: encode(CONTINUATION, b"x")),
    "message begins inside another one": Violation(
        1002, lambda _: encode(BINARY, b"x", fin=False) + encode(BINARY, b"x")
    ),
    "length is not minimal": Violation(1002, lambda _: b"\x82\xfe\x00\x01" + KEY + b"x"),
    "length is negative": Violation(1002, lambda _: b"\x82\xff\xff" + bytes(7) + KEY),
    "close frame with one byte": Violation(1002, lambda _: encode(CLOSE, b"x")),
    "invalid close code": Violation(1002, lambda _: encode(CLOSE, close_payload(1005, ""))),
    "close reason is not valid UTF-8": Violation(1007, lambda _: encode(CLOSE, b"\x03\xe8\xff")),
    "too many empty fragments": Violation(
        1008,
        lambda _: encode(BINARY, fin=False) + encode(CONTINUATION, fin=False) * 1024,
    ),
    "message too big": Violation(
        1009, lambda limit: b"\x82\xff" + (limit + 1).to_bytes(8) + KEY + bytes(9)
    ),
}
"""Violations by the reason of the relay's close frame."""
