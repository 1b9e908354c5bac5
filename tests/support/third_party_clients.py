"""WebSocket clients of other projects, behind one interface.

Each uses its library unchanged; the tests neither build nor parse a frame for it.
"""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import trio
import trio_websocket
import websockets.asyncio.client
import websockets.exceptions
import websockets.sync.client

T = TypeVar("T")

SCRIPT: Final = Path(__file__).with_name("ws_client.mjs")
CALL_TIMEOUT: Final = 30.0
"""Maximum number of seconds of a call in a thread, which cannot be cancelled."""

Open = Callable[[str, Sequence[str]], AbstractAsyncContextManager["ThirdPartyClient"]]
"""Function that connects to a URL with subprotocols; raises `Refused`."""


class Refused(Exception):
    """Refusal of the handshake, with the status of the response."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class ThirdPartyClient(ABC):
    """Connected client."""

    subprotocol: str | None = None

    @abstractmethod
    async def send(self, message: str | bytes) -> None:
        """Send a text message (str) or a binary one (bytes)."""

    async def send_fragments(self, fragments: Sequence[bytes]) -> None:
        """Send one binary message in fragments, if the library can."""
        raise NotImplementedError

    @abstractmethod
    async def receive(self) -> str | bytes:
        """Return the next message."""

    @abstractmethod
    async def ping(self) -> None:
        """Send a ping and wait for its pong."""

    @abstractmethod
    async def close(self, code: int, reason: str) -> tuple[int, str] | None:
        """Close and return the code and reason of the reply, if the library reports them."""

    @abstractmethod
    async def closed(self) -> tuple[int, str]:
        """Wait until the relay closes and return its code and reason."""


def received(error: websockets.exceptions.ConnectionClosed) -> tuple[int, str]:
    """Return the code and reason of the relay's close frame."""
    assert error.rcvd is not None, error
    return error.rcvd.code, error.rcvd.reason


class SyncClient(ThirdPartyClient):
    """`websockets` for threads."""

    def __init__(self, connection: websockets.sync.client.ClientConnection) -> None:
        self.connection = connection
        self.subprotocol = connection.subprotocol

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, subprotocols: Sequence[str] = ()
    ) -> AsyncIterator[ThirdPartyClient]:
        """Connect, and drop the connection at the end if it is still open."""
        connect = partial(
            websockets.sync.client.connect,
            url,
            subprotocols=list(map(websockets.Subprotocol, subprotocols)) or None,
            max_size=None,
            proxy=None,
            close_timeout=CALL_TIMEOUT,
        )
        opening = await in_thread(refusable(connect))
        connection = await in_thread(opening.__enter__)
        try:
            yield cls(connection)
        finally:
            with trio.CancelScope(shield=True):
                await in_thread(opening.__exit__, None, None, None)

    async def send(self, message: str | bytes) -> None:
        await in_thread(self.connection.send, message)

    async def send_fragments(self, fragments: Sequence[bytes]) -> None:
        await in_thread(self.connection.send, fragments)

    async def receive(self) -> str | bytes:
        return await in_thread(self.connection.recv, CALL_TIMEOUT)

    async def ping(self) -> None:
        pong = await in_thread(self.connection.ping)
        assert await in_thread(pong.wait, CALL_TIMEOUT)

    async def close(self, code: int, reason: str) -> tuple[int, str]:
        await in_thread(self.connection.close, code, reason)
        return await self.closed()

    async def closed(self) -> tuple[int, str]:
        try:
            message = await in_thread(self.connection.recv, CALL_TIMEOUT)
        except websockets.exceptions.ConnectionClosed as error:
            return received(error)
        raise AssertionError(f"{len(message)} more bytes came")


class AsyncioClient(ThirdPartyClient):
    """`websockets` on asyncio, in a thread."""

    def __init__(
        self,
        connection: websockets.asyncio.client.ClientConnection,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.connection = connection
        self.loop = loop
        self.subprotocol = connection.subprotocol

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, subprotocols: Sequence[str] = ()
    ) -> AsyncIterator[ThirdPartyClient]:
        """Connect in a new event loop, and end both."""
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            loop = runner.get_loop()
            thread = threading.Thread(target=loop.run_forever)
            thread.start()
            try:
                connection = await in_loop(loop, cls._connect(url, subprotocols))
                try:
                    yield cls(connection, loop)
                finally:
                    with trio.CancelScope(shield=True):
                        await in_loop(loop, connection.close())
            finally:
                loop.call_soon_threadsafe(loop.stop)
                thread.join()

    @staticmethod
    async def _connect(
        url: str, subprotocols: Sequence[str]
    ) -> websockets.asyncio.client.ClientConnection:
        try:
            return await websockets.asyncio.client.connect(
                url,
                subprotocols=list(map(websockets.Subprotocol, subprotocols)) or None,
                max_size=None,
                proxy=None,
                close_timeout=CALL_TIMEOUT,
            )
        except websockets.exceptions.InvalidStatus as error:
            raise Refused(error.response.status_code) from None

    async def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return await in_loop(self.loop, work)

    async def send(self, message: str | bytes) -> None:
        await self._call(self.connection.send(message))

    async def send_fragments(self, fragments: Sequence[bytes]) -> None:
        await self._call(self.connection.send(fragments))

    async def receive(self) -> str | bytes:
        return await self._call(self.connection.recv())

    async def ping(self) -> None:
        async def ping_and_wait() -> None:
            await (await self.connection.ping())

        await self._call(ping_and_wait())

    async def close(self, code: int, reason: str) -> tuple[int, str]:
        await self._call(self.connection.close(code, reason))
        return await self.closed()

    async def closed(self) -> tuple[int, str]:
        try:
            message = await self._call(self.connection.recv())
        except websockets.exceptions.ConnectionClosed as error:
            return received(error)
        raise AssertionError(f"{len(message)} more bytes came")


class TrioClient(ThirdPartyClient):
    """`websockets` on trio, which newer releases have."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.subprotocol = connection.subprotocol

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, subprotocols: Sequence[str] = ()
    ) -> AsyncIterator[ThirdPartyClient]:
        """Connect, and close at the end."""
        from websockets.trio.client import connect  # noqa: PLC0415 - see the class

        opening = connect(
            url,
            subprotocols=list(map(websockets.Subprotocol, subprotocols)) or None,
            max_size=None,
            proxy=None,
            close_timeout=CALL_TIMEOUT,
        )
        try:
            async with opening as connection:
                yield cls(connection)
        except websockets.exceptions.InvalidStatus as error:
            raise Refused(error.response.status_code) from None

    async def send(self, message: str | bytes) -> None:
        await self.connection.send(message)

    async def send_fragments(self, fragments: Sequence[bytes]) -> None:
        await self.connection.send(fragments)

    async def receive(self) -> str | bytes:
        message: str | bytes = await self.connection.recv()
        return message

    async def ping(self) -> None:
        await (await self.connection.ping()).wait()

    async def close(self, code: int, reason: str) -> tuple[int, str]:
        await self.connection.aclose(code, reason)
        return await self.closed()

    async def closed(self) -> tuple[int, str]:
        try:
            message = await self.connection.recv()
        except websockets.exceptions.ConnectionClosed as error:
            return received(error)
        raise AssertionError(f"{len(message)} more bytes came")


class TrioWebsocketClient(ThirdPartyClient):
    """trio-websocket, which cannot send fragments, and does not report the reply to its close."""

    def __init__(self, connection: trio_websocket.WebSocketConnection) -> None:
        self.connection = connection
        self.subprotocol = connection.subprotocol

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, subprotocols: Sequence[str] = ()
    ) -> AsyncIterator[ThirdPartyClient]:
        """Connect, and close at the end.

        The stream is closed here, because a client of trio-websocket that was closed by its server
        leaves that to the garbage collector.
        """
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        target = f"{parts.path}?{parts.query}"
        status: int | None = None
        try:
            async with (
                await trio.open_tcp_stream(parts.hostname, parts.port) as stream,
                trio.open_nursery() as nursery,
                await trio_websocket.wrap_client_stream(
                    nursery,
                    stream,
                    parts.netloc,
                    target,
                    subprotocols=list(subprotocols),
                    max_message_size=2**30,
                    receive_buffer_size=2**16,
                ) as connection,
            ):
                yield cls(connection)
        except* trio_websocket.ConnectionRejected as refusals:
            (refusal,) = refusals.exceptions
            assert isinstance(refusal, trio_websocket.ConnectionRejected)
            status = refusal.status_code
        if status is not None:
            raise Refused(status)

    async def send(self, message: str | bytes) -> None:
        await self.connection.send_message(message)

    async def receive(self) -> str | bytes:
        return await self.connection.get_message()

    async def ping(self) -> None:
        await self.connection.ping()

    async def close(self, code: int, reason: str) -> None:
        await self.connection.aclose(code, reason)

    async def closed(self) -> tuple[int, str]:
        try:
            message = await self.connection.get_message()
        except trio_websocket.ConnectionClosed as error:
            reason = error.reason
        else:
            raise AssertionError(f"{len(message)} more bytes came")
        assert reason is not None
        return reason.code, reason.reason or ""


class NodeClient(ThirdPartyClient):
    """`ws` of Node in a process of its own; ws_client.mjs describes its protocol."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process

    @classmethod
    @asynccontextmanager
    async def open(
        cls, directory: Path, url: str, subprotocols: Sequence[str] = ()
    ) -> AsyncIterator[ThirdPartyClient]:
        """Connect with the ws that is installed in directory, and end the process."""
        process = await trio.lowlevel.open_process(
            ["node", str(SCRIPT), str(directory), url, *subprotocols],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            client = cls(process)
            letter, body = await client._hear()
            if letter == b"R":
                raise Refused(json.loads(body))
            assert letter == b"O", body
            client.subprotocol = json.loads(body) or None
            yield client
        finally:
            with trio.CancelScope(shield=True):
                await process.stdin.aclose()
                await process.stdout.aclose()
                await process.wait()

    async def _tell(self, letter: bytes, body: bytes) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(letter + struct.pack("!I", len(body)) + body)

    async def _hear(self) -> tuple[bytes, bytes]:
        letter, length = struct.unpack("!cI", await self._read(5))
        return letter, await self._read(length)

    async def _read(self, size: int) -> bytes:
        assert self.process.stdout is not None
        data = bytearray()
        while len(data) < size:
            part = await self.process.stdout.receive_some(size - len(data))
            assert part, "the process ended"
            data += part
        return bytes(data)

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self._tell(b"T", message.encode())
        else:
            await self._tell(b"B", message)

    async def send_fragments(self, fragments: Sequence[bytes]) -> None:
        *others, last = fragments
        for fragment in others:
            await self._tell(b"F", fragment)
        await self._tell(b"B", last)

    async def receive(self) -> str | bytes:
        letter, body = await self._hear()
        assert letter in (b"B", b"T"), body
        return body if letter == b"B" else body.decode()

    async def ping(self) -> None:
        await self._tell(b"P", b"are you there")
        assert await self._hear() == (b"P", b"are you there")

    async def close(self, code: int, reason: str) -> tuple[int, str]:
        await self._tell(b"C", json.dumps([code, reason]).encode())
        return await self.closed()

    async def closed(self) -> tuple[int, str]:
        letter, body = await self._hear()
        assert letter == b"C", body
        code, reason = json.loads(body)
        return code, reason


async def in_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Run blocking work in a thread."""
    return await trio.to_thread.run_sync(partial(work, *arguments))


async def in_loop(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Run asynchronous work in the event loop of another thread; cancellation reaches the work."""
    done = trio.Event()
    token = trio.lowlevel.current_trio_token()
    future = asyncio.run_coroutine_threadsafe(work, loop)
    future.add_done_callback(lambda _: token.run_sync_soon(done.set))
    try:
        await done.wait()
    finally:
        future.cancel()
    return future.result(0)


def refusable(connect: Callable[[], T]) -> Callable[[], T]:
    """Make connect raise `Refused` for a refusal."""

    def connect_or_refuse() -> T:
        try:
            return connect()
        except websockets.exceptions.InvalidStatus as error:
            raise Refused(error.response.status_code) from None

    return connect_or_refuse
