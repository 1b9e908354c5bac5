"""Answer the pings of a client with pongs (RFC 6455 section 5.5.3)."""

from __future__ import annotations

from ..protocol.frames import OPCODE, PING, pong_or_close_reply
from ..protocol.reframer import MAX_CONTROLS, Control
from ..transport.base import Transport


def answer_pings(transport: Transport, control: Control) -> None:
    """Answer the last `MAX_CONTROLS` pings in ``control`` with pongs, without waiting."""
    if pings := [frame for frame in control if frame[0] & OPCODE == PING]:
        transport.send_deferred(b"".join(map(pong_or_close_reply, pings[-MAX_CONTROLS:])))
