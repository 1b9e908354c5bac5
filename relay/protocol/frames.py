"""Parse, validate and build WebSocket frames (RFC 6455 section 5).

Pure: no I/O, no clock, no trio.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from .violations import CloseCode, ProtocolError

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
    "EXTENDED_LENGTH_SIZES",
    "FIN",
    "LENGTH_16",
    "LENGTH_64",
    "LENGTH_IS_16",
    "LENGTH_IS_64",
    "MASK",
    "MAX_16",
    "MAX_64",
    "MAX_CONTROL",
    "MAX_SHORT",
    "MEDIUM_HEADER",
    "MEDIUM_HEADER_OUT",
    "MIN_HEADER",
    "OPCODE",
    "OPCODES",
    "PING",
    "PING_FRAME",
    "PONG",
    "RESERVED",
    "SHORT_HEADER",
    "SHORT_HEADERS_OUT",
    "TEXT",
    "WHOLE_BINARY",
    "apply_mask",
    "bytes_needed",
    "close_frame",
    "control_payload",
    "payload_length",
    "pong_or_close_reply",
    "protocol_error",
    "server_header",
    "validate_close_payload",
]

# RFC 6455 section 5.2. The first byte of a frame has FIN, three reserved bits and the opcode; the
# second byte has MASK and the short length.
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

CONTROL: Final = 0x8  # set in every control opcode
OPCODES: Final = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))

REPLY_OPCODES: Final = {PING: PONG, CLOSE: CLOSE}
PING_FRAME: Final = bytes((FIN | PING, 5)) + b"relay"
"""Ping frame that the relay sends. It has a payload because some versions of libcurl do not pass
empty pings to the program.

All pings have the same payload, because the relay accepts any data from the client as an answer.
"""

MAX_SHORT: Final = 125
MAX_16: Final = 2**16 - 1
MAX_64: Final = 2**63 - 1
LENGTH_IS_16: Final = 126
LENGTH_IS_64: Final = 127
LENGTH_16: Final = Struct("!H")
LENGTH_64: Final = Struct("!Q")
MIN_HEADER: Final = 2
SHORT_HEADER: Final = 6  # MIN_HEADER and the masking key
MEDIUM_HEADER: Final = SHORT_HEADER + LENGTH_16.size
MAX_CONTROL: Final = SHORT_HEADER + MAX_SHORT
EXTENDED_LENGTH_SIZES: Final = {LENGTH_IS_16: LENGTH_16.size, LENGTH_IS_64: LENGTH_64.size}

# Most messages of a terminal or an agent are unfragmented binary messages. For a short payload, the
# header for the peer comes from a table. For a payload with a 16-bit length, the header reuses
# the length field of the received header.
WHOLE_BINARY: Final = FIN | BINARY
SHORT_HEADERS_OUT: Final = [bytes((WHOLE_BINARY, length)) for length in range(MAX_SHORT + 1)]
MEDIUM_HEADER_OUT: Final = bytes((WHOLE_BINARY, LENGTH_IS_16))

# Close codes that a client may send (RFC 6455 section 7.4 and the IANA registry of close codes).
CLOSE_CODES: Final = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))
CLOSE_STATUS: Final = Struct("!H")


def bytes_needed(data: bytes, pos: int, message: int) -> int:
    """Return the number of bytes that the parser needs from ``pos`` before it can continue.

    For a data frame, this is the size of its header. For a control frame, it is the size of the
    whole frame. The result is 2 until the first two bytes of the frame have arrived. ``message`` is
    the opcode of the incomplete message, or 0 between two messages. Raises ProtocolError if
    the first two bytes violate RFC 6455 sections 5.2, 5.4 or 5.5.
    """
    if len(data) - pos < MIN_HEADER:
        return MIN_HEADER
    first, second = data[pos], data[pos + 1]
    opcode, length = first & OPCODE, second & ~MASK
    if first & RESERVED:
        raise protocol_error("reserved bit set")
    if opcode not in OPCODES:
        raise protocol_error("unknown opcode")
    if not second & MASK:
        raise protocol_error("frame is not masked")
    if opcode & CONTROL:
        if not first & FIN:
            raise protocol_error("fragmented control frame")
        if length > MAX_SHORT:
            raise protocol_error("control frame is too long")
        return SHORT_HEADER + length
    if opcode == CONTINUATION and not message:
        raise protocol_error("continuation without a message")
    if opcode != CONTINUATION and message:
        raise protocol_error("message begins inside another one")
    return SHORT_HEADER + EXTENDED_LENGTH_SIZES.get(length, 0)


def payload_length(header: bytes) -> int:
    """Return the payload length from a complete header (RFC 6455 section 5.2).

    Raises ProtocolError if the length is not encoded in the fewest bytes, or if a 64-bit length has
    its highest bit set.
    """
    length = header[1] & ~MASK
    if length == LENGTH_IS_16:
        (length,) = LENGTH_16.unpack_from(header, 2)
        if length <= MAX_SHORT:
            raise protocol_error("length is not minimal")
    elif length == LENGTH_IS_64:
        (length,) = LENGTH_64.unpack_from(header, 2)
        if length <= MAX_16:
            raise protocol_error("length is not minimal")
        if length > MAX_64:
            raise protocol_error("length is negative")
    return length


def server_header(first: int, length: int) -> bytes:
    """Return the header of an unmasked frame with this first byte and this payload length."""
    if length <= MAX_SHORT:
        return bytes((first, length))
    if length <= MAX_16:
        return bytes((first, LENGTH_IS_16)) + LENGTH_16.pack(length)
    return bytes((first, LENGTH_IS_64)) + LENGTH_64.pack(length)


def control_payload(frame: bytes) -> bytes:
    """Return the unmasked payload of a complete control frame from a client."""
    return apply_mask(frame[SHORT_HEADER:], frame[MIN_HEADER:SHORT_HEADER])


def close_frame(code: CloseCode, reason: str) -> bytes:
    """Return a close frame with this code and reason (RFC 6455 section 5.5.1)."""
    payload = CLOSE_STATUS.pack(code) + reason.encode()
    return server_header(FIN | CLOSE, len(payload)) + payload


def pong_or_close_reply(frame: bytes) -> bytes:
    """Return the reply to a ping or close frame from a client (RFC 6455 section 5.5)."""
    payload = control_payload(frame)
    return server_header(FIN | REPLY_OPCODES[frame[0] & OPCODE], len(payload)) + payload


def validate_close_payload(payload: bytes) -> None:
    """Raise ProtocolError if the payload of a close frame is invalid (RFC 6455 5.5.1 and 7.4)."""
    if not payload:
        return
    if len(payload) == 1:
        raise protocol_error("close frame with one byte")
    (code,) = CLOSE_STATUS.unpack_from(payload)
    if code not in CLOSE_CODES:
        raise protocol_error("invalid close code")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolError(CloseCode.INVALID_DATA, "close reason is not valid UTF-8") from None


def protocol_error(reason: str) -> ProtocolError:
    """Return a ProtocolError with close code 1002, for a violation of the framing rules."""
    return ProtocolError(CloseCode.PROTOCOL_ERROR, reason)
