"""Client that sends any bytes of a test, valid or not, over any trio stream."""

from __future__ import annotations

import base64
import os
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import trio

from relay.protocol.frames import apply_mask

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def encode(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bool = True,
    length: int | None = None,
    length_size: int | None = None,
) -> bytes:
    """Return a client frame; length and length_size (1, 2 or 8 bytes) may be wrong."""
    length = len(payload) if length is None else length
    if length_size is None:
        length_size = 1 if length <= 125 else 2 if length < 2**16 else 8
    first = bytes((0x80 * fin | reserved << 4 | opcode,))
    flag = 0x80 * mask
    second = {
        1: lambda: bytes((flag | length,)),
        2: lambda: bytes((flag | 126,)) + struct.pack("!H", length),
        8: lambda: bytes((flag | 127,)) + struct.pack("!Q", length),
    }[length_size]()
    if not mask:
        return first + second + payload
    key = os.urandom(4)
    return first + second + key + apply_mask(payload, key)


def encode_close(code: int, reason: str = "") -> bytes:
    """Return a client's close frame."""
    return encode(CLOSE, struct.pack("!H", code) + reason.encode())


@dataclass(frozen=True)
class Frame:
    """Frame from the relay."""

    fin: bool
    opcode: int
    payload: bytes


@dataclass(frozen=True)
class Response:
    """HTTP response of the relay, without its body if it is 101."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


class Client:
    """Client's end of a stream to the relay; its block ends without a close frame."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._unread = b""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await trio.aclose_forcefully(self.stream)

    async def reset(self) -> None:
        """Reset a TCP stream, also below TLS."""
        tcp = getattr(self.stream, "transport_stream", self.stream)
        assert isinstance(tcp, trio.SocketStream)
        linger = struct.pack("ii", 1, 0)
        tcp.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await trio.aclose_forcefully(self.stream)

    async def send_eof(self) -> None:
        """End the client's direction; it can still receive."""
        assert isinstance(self.stream, trio.SocketStream)
        await self.stream.send_eof()

    async def send(self, data: bytes) -> None:
        """Send raw bytes."""
        await self.stream.send_all(data)

    async def send_message(self, payload: bytes) -> None:
        """Send a whole binary message."""
        await self.send(encode(BINARY, payload))

    async def _fill(self, size: int) -> None:
        while len(self._unread) < size:
            data = await self.stream.receive_some(65536)
            if not data:
                raise trio.EndOfChannel
            self._unread += bytes(data)

    async def read(self, size: int) -> bytes:
        """Return exactly size bytes; raise trio.EndOfChannel if the stream ends before."""
        await self._fill(size)
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    async def response(self) -> Response:
        """Return the response to a request; unless it is 101, read the stream to its end."""
        while b"\r\n\r\n" not in self._unread:
            await self._fill(len(self._unread) + 1)
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("ascii").split("\r\n")
        version, status, _phrase = status_line.split(" ", 2)
        assert version == "HTTP/1.1"
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        if status == "101":
            return Response(101, headers)
        return Response(int(status), headers, await self.rest())

    async def rest(self) -> bytes:
        """Return all bytes up to the end of the stream."""
        data, self._unread = self._unread, b""
        while more := await self.stream.receive_some(65536):
            data += bytes(more)
        return data

    async def get(self, target: str, method: str = "GET") -> Response:
        """Send a plain request and return its response."""
        await self.send(f"{method} {target} HTTP/1.1\r\nHost: relay\r\n\r\n".encode())
        return await self.response()

    async def upgrade(self, target: str, **headers: str | None) -> Response:
        """Send an upgrade request and return its response; headers replace or remove (None)."""
        await self.send(upgrade_request(target, **headers))
        return await self.response()

    async def frame(self) -> Frame:
        """Return the next frame; raise trio.EndOfChannel if the stream ends first."""
        first, second = await self.read(2)
        assert not first & 0x70, "reserved bit set"
        assert not second & 0x80, "server frame is masked"
        length = second
        if length == 126:
            (length,) = struct.unpack("!H", await self.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self.read(8))
        return Frame(bool(first & 0x80), first & 0x0F, await self.read(length))

    async def message(self) -> bytes:
        """Return the next binary message, whole; another frame fails the test."""
        parts: list[bytes] = []
        while True:
            frame = await self.frame()
            assert frame.opcode == (CONTINUATION if parts else BINARY), frame
            parts.append(frame.payload)
            if frame.fin:
                return b"".join(parts)

    async def close_frame(self) -> tuple[int, str]:
        """Return the code and reason of the next frame, a close frame."""
        frame = await self.frame()
        assert frame.opcode == CLOSE, frame
        assert frame.fin
        if not frame.payload:
            return 1005, ""
        return struct.unpack_from("!H", frame.payload)[0], frame.payload[2:].decode()

    async def last_frames(self) -> list[Frame]:
        """Return every frame up to the close frame, and answer that.

        Fails unless the stream consists of whole frames, and ends behind the close frame.
        """
        frames = [await self.frame()]
        while frames[-1].opcode != CLOSE:
            frames.append(await self.frame())
        await self.send(encode(CLOSE, frames[-1].payload))
        assert await self.rest() == b""
        return frames

    async def closed(self) -> tuple[int, str]:
        """Return the code and reason of the next frame, a close frame, and answer it.

        Fails unless the relay then ends the stream.
        """
        code, reason = await self.close_frame()
        await self.send(encode_close(1000 if code == 1005 else code))
        assert await self.rest() == b""
        return code, reason


def upgrade_request(target: str, **headers: str | None) -> bytes:
    """Return the head of an upgrade request; headers, with _ for -, replace or remove (None)."""
    lines: dict[str, str | None] = {
        "host": "relay",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-key": base64.b64encode(os.urandom(16)).decode(),
    }
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    kept = (f"{name}: {value}" for name, value in lines.items() if value is not None)
    head = [f"GET {target} HTTP/1.1", *kept]
    return "\r\n".join((*head, "", "")).encode("latin-1")
