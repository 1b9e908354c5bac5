"""Convert the bytes of one client into frames for its peer. Pure: no I/O, no clock, no trio.

RFC 6455 section 5.4 lets an intermediary fragment messages when no extension is in use. A message
of up to `MAX_BUFFERED` bytes is forwarded in one frame once the message is complete. A longer
message is forwarded while it arrives, in fragments of at least `MAX_BUFFERED` bytes. So neither
memory nor latency grows with the message size, and a control frame can follow each fragment. The
message size is known once the header of the final frame has arrived. From then on, the minimum size
of a fragment is this size divided by `TARGET_FRAGMENTS_PER_MESSAGE`, but at most `MAX_BUFFERED`.
"""

from __future__ import annotations

from typing import Final

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
    PING,
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
from .violations import CloseCode, ProtocolError, Violation

Pieces = list[bytes | bytearray]
"""Parts of frames for the peer. Their concatenation is a sequence of complete frames."""

Control = list[bytes] | tuple[()]
"""Pings and pongs that one read completed, still masked; empty if that read ended the input."""

End = bytes | Violation
"""End of a client's input: the complete close frame, still masked, or a violation."""

Parsed = tuple[Pieces, Control, End | None]  # a named tuple would be slower
"""Result of one read: frames for the peer, control frames, and the end of the input or None."""

MAX_EMPTY_FRAGMENTS: Final = 1024
"""Maximum number of empty fragments in one message. ``max_message_size`` does not bound them."""

MAX_BUFFERED: Final = 64 * 1024
"""Maximum size, in bytes, of the buffer, and of a message that is forwarded in one frame.

Some clients treat each fragment of a longer message as a message, but terminals and agents send far
smaller messages.
"""

TARGET_FRAGMENTS_PER_MESSAGE: Final = 256
"""Approximate maximum number of fragments for one message, if the message has up to 16 MiB.

A longer message may have more fragments, each with at least `MAX_BUFFERED` bytes. Some clients
limit the number of fragments in a message; for example, websockets 17 accepts 4,096.
"""

MAX_CONTROLS: Final = 16
"""Maximum number of pings that the relay answers for each read, which bounds memory and delays.

The relay answers the last pings of the read, as RFC 6455 section 5.5.3 allows.
"""


class Reframer:
    """Incremental parser that turns the frames of a client into frames for its peer.

    Binary messages are unmasked but not interpreted. Text messages are dropped and never unmasked.

    ``max_message_size`` is the maximum size, in bytes, of a binary message; 0 means no limit. As
    soon as a frame header shows that the message exceeds the limit, nothing more is forwarded.
    """

    __slots__ = (
        "_empty_fragments",
        "_end",
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
        "message_counts",
    )

    def __init__(self, max_message_size: int = 0) -> None:
        self._max_message_size = max_message_size
        self._fast_limit = min(MAX_16, max_message_size or MAX_16)
        self._head = b""  # incomplete header or control frame
        # The incomplete data frame: missing payload bytes, FIN bit, masking key.
        self._left, self._fin, self._key = 0, 0, b""
        # The incomplete message: TEXT, BINARY, or 0 between two messages.
        self._message = self._message_size = self._empty_fragments = 0
        self._part: bytes | bytearray = b""  # unmasked payload that is not forwarded yet
        self._opcode_out = BINARY  # opcode of the next frame to the peer
        self._end: End | None = None
        self.message_counts = {TEXT: 0, BINARY: 0}
        """Number of text messages that were dropped, and of binary messages that were forwarded."""

    @property
    def buffered(self) -> int:
        """Number of received bytes that are kept for the next call of `feed`."""
        return len(self._head) + len(self._part)

    def feed(self, data: bytes) -> Parsed:
        """Parse the next bytes. Return the frames for the peer, the pings and pongs, and the end.

        The end is None before a close frame or a violation, and does not change afterwards. Input
        after the end is ignored. A control frame may be sent after the frames for the peer.
        """
        out: Pieces = []
        control: Control = ()
        if self._end is not None:
            return out, control, self._end
        if self._head:
            data = self._head + data
            self._head = b""
        pos, size = self._payload(data, 0, out) if self._left else 0, len(data)
        try:
            while pos < size:
                if not self._message:
                    pos = self._fast_path(data, pos, size, out)
                    if pos == size:
                        break
                stop = pos + bytes_needed(data, pos, self._message)
                if stop > size:
                    self._head = data[pos:]
                    break
                head = data[pos:stop]  # the header of a data frame, or a complete control frame
                if head[0] & CONTROL:
                    control = self._control(head, control)
                    if self._end is not None:
                        break
                    pos = stop
                else:
                    self._begin(head)
                    pos = self._payload(data, stop, out)
        except ProtocolError as error:
            control, self._end, self._part = (), Violation(error.code, error.reason), b""
        return out, control, self._end

    def _fast_path(self, data: bytes, pos: int, size: int, out: Pieces) -> int:
        """Append the simple binary messages at ``pos`` to ``out``; return the offset after them.

        A simple message is complete and unfragmented, and has a 7-bit or 16-bit length. The slow
        path in `feed` handles all other frames, whether valid or not.
        """
        limit, before = self._fast_limit, len(out)
        while size - pos >= SHORT_HEADER and data[pos] == WHOLE_BINARY:
            length, key = data[pos + 1] - MASK, pos + 2
            if 0 <= length <= MAX_SHORT:
                header = SHORT_HEADERS_OUT[length]
            elif length == LENGTH_IS_16 and size - pos >= MEDIUM_HEADER:
                key = pos + 4
                header = MEDIUM_HEADER_OUT + data[pos + 2 : key]
                length = data[pos + 2] << 8 | data[pos + 3]
                if length <= MAX_SHORT:
                    break
            else:
                break
            start = key + 4
            stop = start + length
            if stop > size or length > limit:
                break
            out.append(header)
            out.append(apply_mask(data[start:stop], data[key:start]))
            pos = stop
        self.message_counts[BINARY] += (len(out) - before) // 2
        return pos

    def _begin(self, header: bytes) -> None:
        """Start a data frame with a complete header; raise ProtocolError if a limit is exceeded."""
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
        """Consume the available payload of the current data frame; return the offset after it."""
        stop = min(len(data), pos + self._left)
        count = stop - pos
        self._left -= count
        fin = 0 if self._left else self._fin
        if self._message == BINARY and (count or fin):
            part, size = self._part, self._message_size
            piece = apply_mask(memoryview(data)[pos:stop], self._key)
            length = len(part) + count
            enough = MAX_BUFFERED
            if self._fin:  # the message size is known only after the header of the last frame
                enough = min(enough, size // TARGET_FRAGMENTS_PER_MESSAGE)
            if fin or (size > MAX_BUFFERED and length >= enough):
                out.append(server_header(fin | self._opcode_out, length))
                if part:
                    out.append(part)
                    self._part = b""
                out.append(piece)
                self._opcode_out = CONTINUATION
            elif not part:
                self._part = piece  # no copy: in most cases, the next read completes the message
            else:
                self._part = part = bytearray(part) if isinstance(part, bytes) else part
                part += piece
        if fin:
            self.message_counts[self._message] += 1
            self._message = self._message_size = self._empty_fragments = 0
            self._opcode_out = BINARY
        elif self._left:
            turn = count % 4
            self._key = self._key[turn:] + self._key[:turn]
        return stop

    def _control(self, frame: bytes, control: Control) -> Control:
        """Return ``control`` with this ping or pong added; an empty tuple after a close frame."""
        opcode = frame[0] & OPCODE
        if opcode == CLOSE:
            validate_close_payload(control_payload(frame))
            self._end, self._part = frame, b""
            return ()
        if not control:
            return [frame]
        if opcode == PING:  # a further pong has no use, as it only shows that the client is alive
            control.append(frame)
            if len(control) > 2 * MAX_CONTROLS:
                del control[:-MAX_CONTROLS]
        return control
