"""A relay in memory that changes, repeats, reorders, drops or reflects messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
import trio.testing
import trio_websocket

CUT = None
"""In place of a message: end both connections."""

Tamper = Callable[[str, int, bytes], Sequence[bytes | str | None]]
"""Function of the sender ("host" or "guest"), the number of its message in this connection from 0,
and the message. It returns the messages that the peer gets."""


def forward(sender: str, number: int, message: bytes) -> Sequence[bytes | str | None]:
    """Return a message unchanged."""
    return [message]


class TamperingRelay:
    """Relay that an attacker runs. ``tamper`` applies to connections with session codes."""

    def __init__(self, nursery: trio.Nursery, link_code: str) -> None:
        self.tamper: Tamper = forward
        self.tamper_with_link: Tamper = forward
        self.reflects = False
        """True to join each connection with itself."""
        self._nursery = nursery
        self._link_code = link_code
        self._waiting: dict[str, tuple[str, trio_websocket.WebSocketConnection]] = {}

    async def open_stream(self, sender: str) -> trio.abc.Stream:
        """Return a stream of an endpoint to the relay."""
        client, server = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._serve, sender, server)
        return client

    async def _serve(self, sender: str, stream: trio.abc.Stream) -> None:
        with trio.CancelScope() as scope:
            try:
                async with trio.open_nursery() as nursery:
                    request = await trio_websocket.wrap_server_stream(
                        nursery, stream, message_queue_size=100, receive_buffer_size=2**18
                    )
                    websocket = await request.accept()
                    code = request.path.partition("pair=")[2]
                    await self._join(sender, code, websocket, scope)
                    nursery.cancel_scope.cancel()
            except* Exception:  # noqa: BLE001, S110 - the endpoint notices the end
                pass
        await trio.aclose_forcefully(stream)

    async def _join(
        self,
        sender: str,
        code: str,
        websocket: trio_websocket.WebSocketConnection,
        scope: trio.CancelScope,
    ) -> None:
        """Wait for the peer, or join the peer that waits, and forward messages."""
        if self.reflects:
            await self._forward(sender, code, websocket, websocket)
        elif (other := self._waiting.pop(code, None)) is not None and not other[1].closed:
            async with trio.open_nursery() as nursery:
                for source, sink in (((sender, websocket), other), (other, (sender, websocket))):

                    async def run(
                        source: tuple[str, trio_websocket.WebSocketConnection] = source,
                        sink: tuple[str, trio_websocket.WebSocketConnection] = sink,
                    ) -> None:
                        try:
                            await self._forward(source[0], code, source[1], sink[1])
                        finally:
                            nursery.cancel_scope.cancel()
                            with trio.move_on_after(1, shield=True):
                                await other[1].aclose()

                    nursery.start_soon(run)
        else:
            self._waiting[code] = (sender, websocket)
            while not websocket.closed:
                await trio.sleep(0.1)

    async def _forward(
        self,
        sender: str,
        code: str,
        source: trio_websocket.WebSocketConnection,
        sink: trio_websocket.WebSocketConnection,
    ) -> None:
        tamper = self.tamper_with_link if code == self._link_code else self.tamper
        number = 0
        while True:
            message = await source.get_message()
            assert isinstance(message, bytes)
            for changed in tamper(sender, number, message):
                if changed is CUT:
                    return
                await sink.send_message(changed)
            number += 1
