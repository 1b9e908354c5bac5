"""Client actor: executes the operations of its plan on any trio stream, and reads meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import trio

from . import frames
from .frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, VIOLATIONS, encode
from .history import ClientHistory, Message, digest
from .network import Connection
from .plan import MAX_MESSAGE, ClientPlan, Op, payload

HEAD = (
    "GET /?pair={} HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n{}\r\n"
)
READ, SLOW_READ = 65536, 4096
FAILED = (trio.BrokenResourceError, trio.ClosedResourceError)
ABRUPT = {"hang up", "reset", "vanish"}
"""Operations after which the client does not read."""

Note = Callable[[str], None]
"""Function that adds a line about the client to the trace."""


class ClientActor:
    """One client on an open stream."""

    def __init__(
        self,
        plan: ClientPlan,
        history: ClientHistory,
        connection: Connection,
        note: Note,
    ) -> None:
        self._plan = plan
        self._history = history
        self._connection, self._stream = connection, connection.stream
        self._note = note
        self._decoder = frames.Decoder()
        self._writing = trio.Lock()
        self._sent_last = False
        self._frame = trio.CancelScope()
        self._may_read = trio.Event()
        self._may_read.set()
        self._sender = trio.CancelScope()
        self._frames = 0
        self._position = 0
        self._payload = 0
        self.payload_ends: list[tuple[int, int]] = []
        """Offset in the stream, and binary payload so far, after each frame."""

    async def run(self) -> None:
        """Send the request, execute the operations, and read until the stream ends.

        A client that vanished leaves its stream open.
        """
        history = self._history
        history.started_at = trio.current_time()
        with suppress(*FAILED):
            await self._send(HEAD.format(self._plan.code, self._connection.headers).encode())
        early = await self._response()
        if history.status == 101:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, early, nursery)
                with self._sender:
                    await self._execute()
                if history.left in ABRUPT:
                    self._end(nursery)
        if history.left != "vanish":
            await trio.aclose_forcefully(self._stream)

    async def _response(self) -> bytes:
        """Receive the response; return the bytes after a 101 response."""
        data, history = b"", self._history
        while b"\r\n\r\n" not in data and (more := await self._receive(READ)):
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        if not history.ended:
            history.status = int(head[9:12])
            self._note(f"response {history.status}")
        history.responded_at = trio.current_time()
        while history.status != 101 and not history.ended:
            rest += await self._receive(READ)
        history.reason = "" if history.status == 101 else rest.decode()
        return rest

    async def _receive(self, size: int) -> bytes:
        """Receive bytes; record the end of the stream and return b"" there."""
        try:
            data = bytes(await self._stream.receive_some(size))
        except FAILED:
            data = b""
            self._history.ended = "broken"
        else:
            self._history.ended = "" if data else "eof"
        if not data:
            self._history.ended_at = trio.current_time()
            self._note(self._history.ended)
        return data

    async def _read(self, data: bytes, nursery: trio.Nursery) -> None:
        """Receive frames until the stream ends, then end the client."""
        history, pause = self._history, self._plan.read_pause
        while not history.ended:
            try:
                for frame in self._decoder.feed(data):
                    self._take(frame, nursery)
            except frames.FrameError as error:
                history.errors.append(str(error))
                break
            if pause:
                await trio.sleep(pause)
            await self._may_read.wait()
            data = await self._receive(SLOW_READ if pause else READ)
        if self._decoder.unread and history.close is not None:
            history.errors.append("bytes after the close frame")
        self._end(nursery)

    def _end(self, nursery: trio.Nursery) -> None:
        """End all tasks of the client, even inside a frame."""
        self._frame.shield = False
        nursery.cancel_scope.cancel()

    def _take(self, frame: frames.Frame, nursery: trio.Nursery) -> None:
        """Process a frame of the relay."""
        history = self._history
        if history.close is not None:
            history.errors.append("frame after the close frame")
        elif frame.opcode == CLOSE:
            history.close, history.closed_at = (
                frames.parse_close(frame.payload),
                trio.current_time(),
            )
            self._note(f"closed {history.close}")
            self._sender.cancel()
            if history.sent_close is None:
                nursery.start_soon(self._send_quietly, encode(CLOSE, frame.payload))
        elif frame.opcode == PING:
            nursery.start_soon(self._send_quietly, encode(PONG, frame.payload))
        elif frame.opcode == PONG:
            history.pongs.append(frame.payload)
        elif frame.opcode != (CONTINUATION if self._frames else BINARY):
            history.errors.append("fragments out of order")
        else:
            self._frames += 1
            history.part += frame.payload
            if frame.fin:
                size = len(history.part)
                history.received.append((size, digest(history.part), self._frames))
                self._note(f"received message of {size} bytes in {self._frames} frames")
                history.part, self._frames = b"", 0

    async def _send(self, data: bytes, payload_size: int = 0) -> None:
        """Send a frame, to its end even if cancelled; send nothing after a close frame."""
        async with self._writing:
            if self._sent_last:
                raise trio.ClosedResourceError
            self._sent_last = True
            self._position += len(data)
            self._payload += payload_size
            self.payload_ends.append((self._position, self._payload))
            with trio.CancelScope(shield=True) as self._frame:
                await self._stream.send_all(data)
            self._sent_last = data[0] & 0x0F == CLOSE

    async def _send_quietly(self, data: bytes) -> None:
        with suppress(*FAILED):
            await self._send(data)

    async def _execute(self) -> None:
        """Execute the operations, unless the stream fails."""
        for op in self._plan.ops:
            self._note(" ".join(str(each) for each in op if each))
            try:
                await self._do(op)
            except FAILED:
                self._note("cannot send")
                return

    async def _do(self, op: Op) -> None:
        """Execute one operation."""
        history = self._history
        match op.kind:
            case "send":
                await self._send_message(op)
            case "pause":
                await trio.sleep(op.seconds)
            case "text":
                await self._send(encode(TEXT, bytes(op.size)))
            case "ping":
                for _ in range(op.size):
                    history.pings.append(str(len(history.pings)).encode())
                    await self._send(encode(PING, history.pings[-1]))
            case "stall":
                history.silent += op.seconds
                self._may_read = trio.Event()
                try:
                    await trio.sleep(op.seconds)
                finally:
                    self._may_read.set()
            case _:
                await self._leave(op)

    async def _send_message(self, op: Op, *, unfinished: bool = False) -> None:
        """Send a message in fragments of similar size, or only its first fragment."""
        number = len(self._history.sent)
        content = payload(self._plan.index, number, op.size)
        message = Message(op.size, digest(content), cut_off=unfinished)
        self._history.sent.append(message)
        step = max(1, -(-op.size // op.pieces))
        starts = range(0, max(1, op.size), step)
        for start in starts:
            piece = content[start : start + step]
            opcode, fin = CONTINUATION if start else BINARY, start == starts[-1]
            await self._send(encode(opcode, piece, fin=fin and not unfinished), len(piece))
            if unfinished:
                return
        message.end, message.complete = self._position, True

    async def _leave(self, op: Op) -> None:
        """End the client's part."""
        history = self._history
        match op.kind:
            case "close":
                if op.detail:
                    await self._send_message(Op("send", op.size, 2), unfinished=True)
                close = op.size, "done"
                await self._send(encode(CLOSE, frames.close_payload(*close)))
                history.sent_close = close
            case "violate":
                violation = VIOLATIONS[op.detail]
                # The relay closes the side once it knows of the violation, before its last byte.
                history.sent_close, history.left = (violation.code, op.detail), op.kind
                await self._send(violation.data(MAX_MESSAGE))
            case "half-close":
                async with self._writing:
                    # The relay may end the side before this task runs again.
                    history.left = op.kind
                    await self._stream.send_eof()  # type: ignore[attr-defined]
                    self._sent_last = True
        history.left = op.kind
        if op.kind == "reset":
            await self._connection.reset()
        elif op.kind == "vanish":
            self._connection.vanish()
