"""Compare the reframer with wsproto, on any bytes that a client may send.

On the way in, the server side of wsproto finds the messages, control frames and errors in the
client's bytes. On the way out, its client side decodes the frames of the reframer. They differ in
three things:

- wsproto checks the UTF-8 of text, and the relay does not. If wsproto stops for that reason, the
reframer must agree with it up to there.

- wsproto reports every part of a message at once; the reframer buffers it until it suffices for a
frame.

- wsproto reports all control frames; the reframer keeps those that the relay needs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from unittest.mock import patch

from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode, ParseFailed

from relay.protocol.frames import MAX_CONTROL
from relay.protocol.reframer import (
    MAX_BUFFERED,
    MAX_CONTROLS,
    TARGET_FRAGMENTS_PER_MESSAGE,
    End,
    Parsed,
    Reframer,
)
from relay.protocol.violations import Violation

from .raw_client import CLOSE, PING

Position = tuple[int, int]
"""Place in the data: messages before it, and bytes of the next one."""

Control = tuple[int, bytes]
"""Opcode and unmasked payload of a control frame."""

Bounds = tuple[int, int]
"""Values for both bounds of the reframer that make short messages long ones."""

REAL: Bounds = (MAX_BUFFERED, TARGET_FRAGMENTS_PER_MESSAGE)

PONG_FROM_RELAY = b"\x8a\x01!"

# Enough to complete any header with a byte of payload behind it, so that both decoders have made
# up their minds: one of them finds some errors a few bytes later than the other.
FILLING = bytes(16)


class Recorder(Reframer):
    """A reframer that records the pings and pongs of all reads, and the end.

    Every read with an end has no pings and pongs, and every read after it has nothing else.
    """

    def __init__(self, max_message_size: int = 0) -> None:
        super().__init__(max_message_size)
        self.control: list[bytes] = []
        self.end: End | None = None

    def feed(self, data: bytes) -> Parsed:
        """Record the result."""
        parsed = frames, control, end = super().feed(data)
        assert control or control == ()
        assert end is None or control == ()
        assert self.end is None or (frames, end) == ([], self.end)
        self.control += control
        self.end = end
        return parsed


@dataclass
class Seen:
    """Everything that the bytes of a client contain."""

    messages: list[bytes] = field(default_factory=list)
    part: bytes = b""
    """Payload so far of the incomplete message."""
    reads: list[tuple[list[Control], Position]] = field(default_factory=list)
    """Control frames of each read, and the place in the data after it."""
    end: int | None = None
    """Code of the violation, or `CLOSE`, or None if the client may go on."""
    ended_in: int | None = None
    """Index of the read with the end."""

    def add(self, payload: bytes, *, finished: bool) -> None:
        """Add a fragment of binary data."""
        self.part += payload
        if finished:
            self.messages.append(self.part)
            self.part = b""

    def close_read(self, control: list[Control]) -> None:
        """Record the end of a read with these control frames."""
        self.reads.append((control, (len(self.messages), len(self.part))))


def as_reference(pieces: list[bytes]) -> tuple[Seen, bool]:
    """Decode a client's bytes with wsproto, up to the piece with the end.

    Returns the result, and True if wsproto refused a text in its last read.
    """
    protocol = FrameProtocol(client=False, extensions=[])
    seen = Seen()
    for piece in pieces:
        protocol.receive_bytes(piece)
        control: list[Control] = []
        try:
            for frame in protocol.received_frames():
                if frame.opcode is Opcode.BINARY:
                    assert isinstance(frame.payload, bytes)
                    seen.add(frame.payload, finished=frame.message_finished)
                elif frame.opcode is not Opcode.TEXT:
                    control.append((frame.opcode, as_payload(frame.payload)))
                    if frame.opcode is Opcode.CLOSE:
                        seen.end = CLOSE
                        break
        except ParseFailed as failure:
            text = failure.code == CloseReason.INVALID_FRAME_PAYLOAD_DATA
            if text and "CLOSE" not in str(failure):
                seen.close_read(control)
                return seen, True
            seen.end = failure.code
        seen.close_read(control)
        if seen.end is not None:
            seen.ended_in = len(seen.reads) - 1
            break
    return seen, False


def control_to_keep(control: list[Control]) -> list[Control]:
    """Return the control frames of one read that the reframer must keep."""
    kept: list[Control] = []
    for frame in control:
        if frame[0] == CLOSE:
            return [frame]
        if frame[0] == PING or not kept:
            kept.append(frame)
        if len(kept) == 2 * MAX_CONTROLS + 1:
            kept = kept[-MAX_CONTROLS:]
    return kept


def as_payload(payload: bytes | str | tuple[int, str]) -> bytes:
    """Return the payload of a control frame, also of a close frame, which wsproto parses."""
    if isinstance(payload, tuple):
        code, reason = payload
        if code == CloseReason.NO_STATUS_RCVD:
            return b""
        return struct.pack("!H", code) + reason.encode()
    assert isinstance(payload, bytes)
    return payload


def xor(payload: bytes, key: bytes) -> bytes:
    """Mask or unmask payload."""
    size = len(payload)
    pad = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(pad)).to_bytes(size)


def as_reframed(
    pieces: list[bytes], max_message_size: int = 0, bounds: Bounds = REAL
) -> tuple[Seen, Recorder]:
    """Feed the pieces to a reframer and decode its frames as a WebSocket client does.

    The function checks the bound of the buffer, and that a control frame can be written to the
    peer.
    """
    max_held, fragments = bounds
    reframer = Recorder(max_message_size)
    peer = FrameProtocol(client=True, extensions=[])
    seen = Seen()
    with patch.multiple(
        "relay.protocol.reframer", MAX_BUFFERED=max_held, TARGET_FRAGMENTS_PER_MESSAGE=fragments
    ):
        for piece in pieces:
            out, control, end = reframer.feed(piece)
            peer.receive_bytes(b"".join(out) + PONG_FROM_RELAY)
            *frames, last = peer.received_frames()
            assert (last.opcode, last.payload) == (Opcode.PONG, b"!")
            for frame in frames:
                assert frame.opcode is Opcode.BINARY
                assert isinstance(frame.payload, bytes)
                assert frame.frame_finished
                assert frame.payload or frame.message_finished
                whole = not seen.part
                seen.add(frame.payload, finished=frame.message_finished)
                if frame.message_finished:
                    assert whole or len(seen.messages[-1]) > max_held
            assert len(control) <= 2 * MAX_CONTROLS
            if isinstance(end, bytes) and seen.end is None:
                control = [end]
            seen.close_read([(x[0] & 0x0F, xor(x[6:], x[2:6])) for x in control])
            assert reframer.buffered < max_held + MAX_CONTROL
            if end is not None and seen.end is None:
                seen.end = end.code if isinstance(end, Violation) else CLOSE
                seen.ended_in = len(seen.reads) - 1
            assert not (seen.end and reframer.buffered)
    return seen, reframer


def cut(data: bytes, borders: list[int]) -> list[bytes]:
    """Split data at the given places."""
    return [data[start:stop] for start, stop in pairwise((0, *sorted(borders), len(data)))]


def build(first: int, payload: bytes, key: bytes, *, form: int = 0, masked: bool = True) -> bytes:
    """Return a frame with this first byte; form is 126 or 127 for a longer length than needed."""
    length = len(payload)
    form = max(form, length if length <= 125 else 126 if length < 2**16 else 127)
    header = bytes((first, 0x80 * masked | form))
    if form == 126:
        header += struct.pack("!H", length)
    elif form == 127:
        header += struct.pack("!Q", length)
    return header + key + xor(payload, key) if masked else header + payload


def check_same(seen: Seen, reframer: Reframer, expected: Seen) -> None:
    """Check that both results are equal, except for the buffered payload."""
    assert seen.messages == expected.messages
    assert seen.end == expected.end
    assert expected.part.startswith(seen.part)
    if seen.end is None:
        assert len(expected.part) - len(seen.part) <= reframer.buffered


def check_reads(seen: Seen, expected: Seen, bounds: Bounds) -> None:
    """Check after each read that the reframer is where wsproto is, except for buffered data.

    The read of a violation is left out: its control frames are dropped, and the reframer finds some
    violations a few bytes before wsproto does.
    """
    stop = len(seen.reads)
    if seen.end is not None and seen.end != CLOSE:
        stop = seen.ended_in or 0
    for (control, now), (all_control, place) in zip(
        seen.reads[:stop], expected.reads, strict=False
    ):
        assert control == control_to_keep(all_control)
        assert now[0] == place[0]
        assert 0 <= place[1] - now[1] <= bounds[0]
    later = chain(seen.reads[stop:], expected.reads[stop + 1 :])
    assert not any(control for control, _ in later)


def check_agreement(pieces: list[bytes], bounds: Bounds = REAL) -> bool:
    """Check that the reframer and wsproto agree; return True unless wsproto refused a text."""
    expected, gave_up = as_reference(pieces)
    seen, reframer = as_reframed(pieces, bounds=bounds)
    if gave_up:
        assert seen.messages[: len(expected.messages)] == expected.messages
        assert expected.part == b""
        del expected.reads[-1]  # the reframer parsed further in this read
        count = len(expected.reads)
        assert seen.ended_in is None or seen.ended_in >= count
        seen = replace(seen, reads=seen.reads[:count], end=None)
    else:
        check_same(seen, reframer, expected)
    check_reads(seen, expected, bounds)
    return not gave_up
