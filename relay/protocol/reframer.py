"""Split the frames of one client: frames for its peer, control frames to answer, a violation.

The rules of this module:

- pure: bytes in, bytes out; no I/O, no clock, no trio; - blind: a binary payload is unmasked, never
looked at; a text payload is not even unmasked; - bounded: a message of up to `MAX_BUFFERED` bytes
goes on in one frame once it is complete; a longer
  one goes on in fragments as it arrives (RFC 6455 section 5.4). An incomplete header or control
  frame and at most `MAX_BUFFERED` bytes of payload are kept between two calls.
"""

from __future__ import annotations

from typing import Final

from .errors import CloseCode, ProtocolError, Violation
from .frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    CONTROL,
    FIN,
    LENGTH_IS_16,
    MASK,
    MAX_16,
    MAX_SHORT,
    MEDIUM_HEADER,
    MEDIUM_HEADER_OUT,
    OPCODE,
    PONG,
    SHORT_HEADER,
    SHORT_HEADERS_OUT,
    TEXT,
    WHOLE_BINARY,
    apply_mask,
    bytes_needed,
    control_payload,
    payload_length,
    server_header,
    validate_close_payload,
)

__all__ = ["MAX_BUFFERED", "MAX_CONTROLS", "MAX_EMPTY_FRAGMENTS", "Reframer"]

Pieces = list[bytes | bytearray]

MAX_EMPTY_FRAGMENTS: Final = 1024
"""Empty fragments that one message may have; more is a flood that no byte limit sees."""

MAX_BUFFERED: Final = 64 * 1024
"""Bytes of the longest message that always arrives in one frame, and of payload kept for it.

The predecessor sent every message in one frame, and some clients take a fragment for a message.
"""

TARGET_FRAGMENTS_PER_MESSAGE: Final = 256
"""About how many fragments a longer message becomes at most, as long as `MAX_BUFFERED` allows.

It would be one for each read, and clients limit the fragments of a message: websockets 17 to 4,096.
"""

MAX_CONTROLS: Final = 16
"""Pings of one read that are kept to be answered: the latest ones.

RFC 6455 section 5.5.3 allows it; a flood of pings then neither fills memory nor delays data.
"""


class Reframer:
    """Turn the bytes of one client, in pieces of any size, into frames for its peer.

    `feed` returns binary messages as server frames, with the same bytes and message borders, and
    skips text messages. It appends complete control frames to `control`, still masked.

    ``max_message_size`` bounds a binary message in bytes; 0 is no bound. The announced lengths
    count, so that no part of the offending frame is passed on.
    """

    __slots__ = (
        "_empty_fragments",
        "_fast_limit",
        "_fin",
        "_head",
        "_key",
        "_left",
        "_max_message_size",
        "_message",
        "_message_size",
        "_opcode_out",
        "_part",
        "closed",
        "control",
        "finished",
        "message_counts",
        "violation",
    )

    def __init__(self, max_message_size: int = 0) -> None:
        self._max_message_size = max_message_size
        self._fast_limit = min(MAX_16, max_message_size or MAX_16)
        self._head = b""  # an incomplete header or control frame
        # The data frame whose payload is arriving: bytes to come, its FIN bit, its masking key.
        self._left, self._fin, self._key = 0, 0, b""
        # The message that is arriving: TEXT, BINARY, or 0 between two messages.
        self._message = self._message_size = self._empty_fragments = 0
        self._part: bytes | bytearray = b""  # its payload that is not worth a frame yet, unmasked
        self._opcode_out = BINARY  # of its next frame to the peer; CONTINUATION after the first

        self.control: list[bytes] = []
        """Control frames since the caller last emptied this list, the oldest first.

        At most twice `MAX_CONTROLS`; after a close frame that alone; after a violation none.
        """
        self.closed = False
        """True after the client's close frame."""
        self.violation: Violation | None = None
        """The rule that the client broke, if any."""
        self.finished = False  # after either of these: every further byte is ignored
        self.message_counts = {TEXT: 0, BINARY: 0}
        """Complete messages: text skipped, binary passed on."""

    @property
    def buffered(self) -> int:
        """Bytes that are kept for the next call."""
        return len(self._head) + len(self._part)

    def feed(self, data: bytes) -> Pieces:
        """Take the next bytes from the client; return frames for its peer.

        The pieces of the result, in order and without a gap, are whole frames: a control frame may
        be written to the peer after them.
        """
        out: Pieces = []
        if self.finished:
            return out
        if self._head:
            data = self._head + data
            self._head = b""
        pos, end = self._payload(data, 0, out) if self._left else 0, len(data)
        try:
            while pos < end:
                if not self._message:
                    pos = self._fast_path(data, pos, end, out)
                    if pos == end:
                        break
                need = bytes_needed(data, pos, self._message)
                if end - pos < need:
                    self._head = data[pos:]
                    break
                if data[pos] & CONTROL:
                    self._control(data[pos : pos + need])
                    if self.closed:
                        break
                    pos += need
                else:
                    self._begin(data[pos : pos + need])
                    pos = self._payload(data, pos + need, out)
        except ProtocolError as violation:
            self.violation = Violation(violation.code, violation.reason)
            self.finished = True
            self.control.clear()
            self._part = b""
        return out

    def _fast_path(self, data: bytes, pos: int, end: int, out: Pieces) -> int:
        """Pass on the binary messages from pos that need no state; return where they end.

        The fast path: messages in one frame that is all there, of the two shorter forms. Whatever
        else comes, good or bad, is left to the slow path.
        """
        limit, before = self._fast_limit, len(out)
        while end - pos >= SHORT_HEADER and data[pos] == WHOLE_BINARY:
            length, key = data[pos + 1] - MASK, pos + 2
            if 0 <= length <= MAX_SHORT:
                header = SHORT_HEADERS_OUT[length]
            elif length == LENGTH_IS_16 and end - pos >= MEDIUM_HEADER:
                key = pos + 4
                header = MEDIUM_HEADER_OUT + data[pos + 2 : key]
                length = data[pos + 2] << 8 | data[pos + 3]
                if length <= MAX_SHORT:
                    break
            else:
                break
            start = key + 4
            stop = start + length
            if stop > end or length > limit:
                break
            out.append(header)
            out.append(apply_mask(data[start:stop], data[key:start]))
            pos = stop
        self.message_counts[BINARY] += (len(out) - before) // 2
        return pos

    def _begin(self, header: bytes) -> None:
        """Begin the data frame that has this complete header."""
        length = payload_length(header)
        fin, opcode = header[0] & FIN, header[0] & OPCODE
        if opcode != CONTINUATION:
            self._message = opcode
        if not length and not fin:
            self._empty_fragments += 1
            if self._empty_fragments > MAX_EMPTY_FRAGMENTS:
                raise ProtocolError(CloseCode.POLICY_VIOLATION, "too many empty fragments")
        self._message_size += length
        if self._message == BINARY and 0 < self._max_message_size < self._message_size:
            raise ProtocolError(CloseCode.MESSAGE_TOO_BIG, "message too big")
        self._left, self._fin, self._key = length, fin, header[-4:]

    def _payload(self, data: bytes, pos: int, out: Pieces) -> int:
        """Take what is there of the current data frame; return where it ends in data."""
        stop = min(len(data), pos + self._left)
        count = stop - pos
        self._left -= count
        fin = 0 if self._left else self._fin
        if self._message == BINARY and (count or fin):
            part, size = self._part, self._message_size
            piece = apply_mask(memoryview(data)[pos:stop], self._key)
            length = len(part) + count
            # Only the size of a message whose last frame has begun is known.
            worth = (
                min(MAX_BUFFERED, size // TARGET_FRAGMENTS_PER_MESSAGE)
                if self._fin
                else MAX_BUFFERED
            )
            if fin or (size > MAX_BUFFERED and length >= worth):
                out.append(server_header(fin | self._opcode_out, length))
                if part:
                    out.append(part)
                    self._part = b""
                out.append(piece)
                self._opcode_out = CONTINUATION
            elif not part:
                self._part = piece  # mostly the next read completes the message: no copy
            else:
                if isinstance(part, bytes):
                    part = self._part = bytearray(part)
                part += piece
        if fin:
            self.message_counts[self._message] += 1
            self._message = self._message_size = self._empty_fragments = 0
            self._opcode_out = BINARY
        elif self._left:
            turn = count % 4
            self._key = self._key[turn:] + self._key[:turn]
        return stop

    def _control(self, frame: bytes) -> None:
        """Keep a complete control frame for the caller, if it has a use for it."""
        opcode, control = frame[0] & OPCODE, self.control
        if opcode == CLOSE:
            validate_close_payload(control_payload(frame))
            self.closed = self.finished = True
            control.clear()
            self._part = b""
        if opcode != PONG or not control:  # one pong is enough to show that the client is there
            control.append(frame)
        if len(control) > 2 * MAX_CONTROLS:
            del control[:-MAX_CONTROLS]
