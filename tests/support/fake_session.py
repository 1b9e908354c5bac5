"""Session of an endpoint without a peer."""

from __future__ import annotations

from typing import cast

import trio
import trio.testing

from relay.client import EndpointError, Session


class FakeSession:
    """Session whose streams are in memory."""

    bytes_sent = bytes_received = 0

    def __init__(self, error: EndpointError | None = None) -> None:
        self.error = error
        self.after_output = False
        """True if the session fails once it has got output."""
        self.incoming = trio.testing.MemoryReceiveStream()
        self.outgoing = trio.testing.MemorySendStream()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive from the peer, or fail."""
        if self.error is not None:
            if self.after_output:
                await self.outgoing.get_data()
            raise trio.BrokenResourceError from self.error
        return await self.incoming.receive_some(max_bytes)

    async def send_all(self, data: bytes) -> None:
        """Send to the peer."""
        await self.outgoing.send_all(data)

    async def send_eof(self) -> None:
        """End the own stream."""
        self.outgoing.close()


def as_session(fake: FakeSession) -> Session:
    """Return a fake as the type that it stands for."""
    return cast("Session", fake)
