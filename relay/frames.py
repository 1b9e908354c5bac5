"""What a WebSocket frame is made of, and what a good one must be (RFC 6455 section 5).

Pure: bytes in, bytes out; no I/O, no clock, no trio.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from .errors import CloseCode, ProtocolViolation

try:
    from websockets.speedups import apply_mask
except ImportError:  # pragma: no cover - a platform for which websockets ships no C extension
    from websockets.utils import apply_mask

__all__ = [
    "BINARY",
    "CLOSE",
    "CLOSE_CODES",
    "CLOSE_STATUS",
    "CONTINUATION",
    "CONTROL",
    "EXTENDED",
    "FIN",
    "LENGTH_16",
    "LENGTH_64",
    "LENGTH_IS_16",
    "LENGTH_IS_64",
    "MASK",
    "MAX_16",
    "MAX_64",
    "MAX_SHORT",
    "MEDIUM_HEADER",
    "MEDIUM_HEADER_OUT",
    "MIN_HEADER",
    "OPCODE",
    "OPCODES",
    "PING",
    "PONG",
    "RESERVED",
    "SHORT_HEADER",
    "SHORT_HEADERS_OUT",
    "TEXT",
    "WHOLE_BINARY",
    "apply_mask",
    "check_close",
    "payload_length",
    "server_header",
    "wrong",
]

# RFC 6455 section 5.2. An opcode shares its byte with FIN and the three reserved bits, a length
# shares its byte with MASK.
FIN: Final = 0x80
RESERVED: Final = 0x70
OPCODE: Final = 0x0F
MASK: Final = 0x80

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

CONTROL: Final = 0x8  # the bit that every control opcode has
OPCODES: Final = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))

MAX_SHORT: Final = 125
MAX_16: Final = 2**16 - 1
MAX_64: Final = 2**63 - 1
LENGTH_IS_16: Final = 126
LENGTH_IS_64: Final = 127
LENGTH_16: Final = Struct("!H")
LENGTH_64: Final = Struct("!Q")
MIN_HEADER: Final = 2
SHORT_HEADER: Final = 6  # two bytes and the masking key
MEDIUM_HEADER: Final = SHORT_HEADER + LENGTH_16.size
EXTENDED: Final = {LENGTH_IS_16: LENGTH_16.size, LENGTH_IS_64: LENGTH_64.size}

# A whole binary message in one frame is by far the most common thing on the wire of a terminal or
# an agent. The header for its peer is looked up by its length, or made of what it came with.
WHOLE_BINARY: Final = FIN | BINARY
SHORT_HEADERS_OUT: Final = [bytes((WHOLE_BINARY, length)) for length in range(MAX_SHORT + 1)]
MEDIUM_HEADER_OUT: Final = bytes((WHOLE_BINARY, LENGTH_IS_16))

# The close codes that a client may send: section 7.4 and the registry it founded, without 1014,
# which only a gateway has a use for and wsproto would refuse.
CLOSE_CODES: Final = frozenset((*range(1000, 1004), *range(1007, 1014), *range(3000, 5000)))
CLOSE_STATUS: Final = Struct("!H")


def payload_length(header: bytes) -> int:
    """Return the length of the payload behind a complete header (section 5.2).

    Raises ProtocolViolation unless it is minimal and not negative.
    """
    length = header[1] & ~MASK
    if length == LENGTH_IS_16:
        (length,) = LENGTH_16.unpack_from(header, 2)
        if length <= MAX_SHORT:
            raise wrong("length is not minimal")
    elif length == LENGTH_IS_64:
        (length,) = LENGTH_64.unpack_from(header, 2)
        if length <= MAX_16:
            raise wrong("length is not minimal")
        if length > MAX_64:
            raise wrong("length is negative")
    return length


def server_header(first: int, length: int) -> bytes:
    """Return the header of an unmasked frame (RFC 6455 section 5.2)."""
    if length <= MAX_SHORT:
        return bytes((first, length))
    if length <= MAX_16:
        return bytes((first, LENGTH_IS_16)) + LENGTH_16.pack(length)
    return bytes((first, LENGTH_IS_64)) + LENGTH_64.pack(length)


def check_close(payload: bytes) -> None:
    """Raise ProtocolViolation if a close frame must not have this payload (sections 5.5.1, 7.4)."""
    if not payload:
        return
    if len(payload) == 1:
        raise wrong("close frame with one byte")
    (code,) = CLOSE_STATUS.unpack_from(payload)
    if code not in CLOSE_CODES:
        raise wrong("invalid close code")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolViolation(
            CloseCode.INVALID_PAYLOAD, "close reason is not valid UTF-8"
        ) from None


def wrong(reason: str) -> ProtocolViolation:
    """Return the violation of a framing rule."""
    return ProtocolViolation(CloseCode.PROTOCOL_ERROR, reason)
