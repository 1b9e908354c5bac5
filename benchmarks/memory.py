"""Idle pairs and stalled readers: memory of a peer, in KiB."""

from __future__ import annotations

import select
import time

from .children import Running
from .exchanges import PINGPONG_BYTES
from .load import Effort, check_content, message_for
from .pairs import opened

STALLED_MESSAGE_BYTES = 65536
STALLED_BYTES = 32 << 20
"""Maximum number of bytes that the load sends to each stalled reader."""


def idle(peer: Running, effort: Effort, count: int) -> dict[str, float]:
    """Open pairs, send one message in each, and measure their memory."""
    message = message_for(peer, PINGPONG_BYTES)
    before = peer.rss_bytes()
    with opened(peer, count) as pairs:
        for pair in pairs:
            check_content(pair, message)
        time.sleep(effort.warm_up)
        return {"memory": (peer.rss_bytes() - before) / count / 1024}


def stalled(peer: Running, effort: Effort, count: int) -> dict[str, float]:
    """Send to readers that do not read, and measure the data that the peer buffers."""
    message = message_for(peer, STALLED_MESSAGE_BYTES).sent
    poll = select.poll()
    with opened(peer, count) as pairs:
        before = most = peer.rss_bytes()
        sending = {pair.a.fileno(): pair.a for pair in pairs}
        sent = dict.fromkeys(sending, 0)
        for end in sending.values():
            end.setblocking(False)
            poll.register(end, select.POLLOUT)
        deadline = time.monotonic() + 3 * effort.window
        while sending and time.monotonic() < deadline:
            for number, _ in poll.poll(100):
                try:
                    sent[number] += sending[number].send(message[sent[number] % len(message) :])
                except BlockingIOError:  # a poll may be wrong by a moment
                    continue
                if sent[number] >= STALLED_BYTES:
                    poll.unregister(number)
                    del sending[number]
            most = max(most, peer.rss_bytes())
        return {"memory": (most - before) / count / 1024}
