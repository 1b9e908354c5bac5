"""Split the frames of one client: what its peer gets, what the relay answers, what is wrong.

The rules of this module:

- pure: bytes in, bytes out; no I/O, no clock, no trio;
- blind: a binary payload is unmasked, never looked at; a text payload is not even unmasked;
- bounded: a frame that has only partly arrived goes on as a fragment (RFC 6455 section 5.4); what
  is kept between two calls is an incomplete header, or less payload than is worth a fragment.
"""

from __future__ import annotations

from typing import Final

from .errors import CloseCode, ProtocolViolation
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
    SHORT_HEADER,
    SHORT_HEADERS_OUT,
    TEXT,
    WHOLE_BINARY,
    apply_mask,
    check_close,
    control_payload,
    needed,
    payload_length,
    server_header,
)

__all__ = ["MAX_EMPTY_FRAGMENTS", "MAX_HELD", "FrameSplitter"]

MAX_EMPTY_FRAGMENTS: Final = 1024
"""Empty fragments that one message may have; more is a flood that no byte limit sees."""

MAX_HELD: Final = 64 * 1024
"""Bytes that may be kept between two calls: always fewer than this."""

FRAGMENTS: Final = 256
"""About how many fragments a message that trickles in becomes, as long as `MAX_HELD` allows.

It would be one for each read, and clients limit the fragments of a message: websockets 17 to 4,096.
"""


class FrameSplitter:
    """Take what one client sends, in pieces of any size, and say what to do with it.

    Binary messages come out of `feed` as server frames for the peer, with the same bytes and the
    same message borders; text messages are skipped. Complete control frames are appended to
    `control` as they came (still masked). After a close frame or a violation every further byte
    is ignored.

    ``max_message_size`` bounds a binary message in bytes; 0 is no bound. It is enforced by
    counting announced lengths, before any of the offending frame is passed on.
    """

    __slots__ = (
        "_empty_fragments",
        "_fast_limit",
        "_fin",
        "_key",
        "_left",
        "_max_message_size",
        "_message",
        "_message_size",
        "_opcode_out",
        "closed",
        "control",
        "finished",
        "held",
        "over",
        "violation",
    )

    def __init__(self, max_message_size: int = 0) -> None:
        self._max_message_size = max_message_size
        # The longest message that the fast path takes.
        self._fast_limit = min(MAX_16, max_message_size or MAX_16)
        # The data frame whose payload is arriving: bytes to come, its FIN bit, its masking key.
        self._left = 0
        self._fin = 0
        self._key = b""
        # The message whose frames are arriving: TEXT, BINARY, or 0 between two messages.
        self._message = 0
        self._message_size = 0
        self._empty_fragments = 0
        # What the next fragment to the peer starts with: BINARY, and CONTINUATION after that.
        self._opcode_out = BINARY

        self.held = b""
        """What is kept for the next call, always less than `MAX_HELD` bytes."""
        self.control: list[bytes] = []
        """Control frames that came since the caller last emptied this list, the oldest first."""
        self.closed = False
        """Whether the client's close frame came; it is then the last one in `control`."""
        self.violation: ProtocolViolation | None = None
        """What the client did wrong, if anything."""
        self.over = False
        """Whether one of those happened, so that every further byte is ignored."""
        self.finished = {TEXT: 0, BINARY: 0}
        """Messages that came to their end: skipped, and passed on."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes from the client; return what goes to its peer.

        The pieces of the result are to be written in order and without a gap: together they are
        whole frames, so that a control frame may be written to the peer after them.
        """
        out: list[bytes] = []
        if self.over:
            return out
        if self.held:
            data = self.held + data
            self.held = b""
        pos, end = self._payload(data, 0, out) if self._left else 0, len(data)
        try:
            while pos < end:
                if not self._message:
                    pos = self._whole_messages(data, pos, end, out)
                    if pos == end:
                        break
                need = needed(data, pos, self._message)
                if end - pos < need:
                    self.held = data[pos:]
                    break
                if data[pos] & CONTROL:
                    self._control(data[pos : pos + need])
                    if self.closed:
                        break
                    pos += need
                else:
                    self._begin(data[pos : pos + need])
                    pos = self._payload(data, pos + need, out)
        except ProtocolViolation as violation:
            self.violation = violation
            self.over = True
        return out

    def _whole_messages(self, data: bytes, pos: int, end: int, out: list[bytes]) -> int:
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
        self.finished[BINARY] += (len(out) - before) // 2
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
                raise ProtocolViolation(CloseCode.POLICY_VIOLATION, "too many empty fragments")
        self._message_size += length
        if self._message == BINARY and 0 < self._max_message_size < self._message_size:
            raise ProtocolViolation(CloseCode.MESSAGE_TOO_BIG, "message too big")
        self._left, self._fin, self._key = length, fin, header[-4:]

    def _payload(self, data: bytes, pos: int, out: list[bytes]) -> int:
        """Pass on what is there of the current data frame; return where it ends in data."""
        stop = min(len(data), pos + self._left)
        count = stop - pos
        done = count == self._left
        binary = self._message == BINARY
        if binary and not done and count < min(MAX_HELD, self._message_size // FRAGMENTS):
            self.held = data[pos:]
            return stop
        self._left -= count
        fin = self._fin if done else 0
        # An empty fragment is worth a frame only if it ends the message.
        if binary and (count or fin):
            out.append(server_header(fin | self._opcode_out, count))
            out.append(apply_mask(memoryview(data)[pos:stop], self._key))
            self._opcode_out = CONTINUATION
        if fin:
            self.finished[self._message] += 1
            self._message = self._message_size = self._empty_fragments = 0
            self._opcode_out = BINARY
        elif not done:
            turn = count % 4
            self._key = self._key[turn:] + self._key[:turn]
        return stop

    def _control(self, frame: bytes) -> None:
        """Keep a complete control frame for the caller."""
        if frame[0] & OPCODE == CLOSE:
            check_close(control_payload(frame))
            self.closed = self.over = True
        self.control.append(frame)
