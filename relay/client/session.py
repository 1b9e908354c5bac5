"""The session of a program with its peer: a stream that survives lost connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from .errors import EndpointError
from .messages import Abort, Reason
from .session_state import SessionState
from .transfer import send_soon

ABORT_TIMEOUT: Final = 2.0  # seconds to tell the peer that the session is aborted
CLOSE_TIMEOUT: Final = 30.0  # seconds from the ACK of the whole stream to the end of the session
CLOSED: Final = Abort(Reason.CLOSED, "the program of the peer closed the session")


class Session(trio.abc.HalfCloseableStream):
    """Bidirectional stream to the peer. The stream survives lost connections.

    Bytes arrive exactly once and in order, or the session ends with an error. `send_all` returns
    once the bytes are in the buffer of the session. It waits while the buffer (4 MiB) is full.
    If `send_all` is cancelled, an unknown number of its bytes is in the buffer. It may take up to 5
    seconds to return, because it completes a message. If `receive_some` is cancelled, no bytes are
    lost.

    After the session has failed, its methods raise trio.BrokenResourceError. The cause of this
    exception is the `error` of the session.
    """

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._closed = False
        self._actions = set[str]()

    @property
    def id(self) -> str:
        """Short random name for displays and logs. The name does not depend on the code."""
        return self._state.id

    @property
    def bytes_sent(self) -> int:
        """Number of sent bytes that the program of the peer is known to have consumed."""
        return self._state.outbox.acknowledged

    @property
    def bytes_received(self) -> int:
        """Number of received bytes that the program has read or the session has discarded."""
        return self._state.inbox.consumed_bytes

    @property
    def error(self) -> EndpointError | None:
        """Error that ended the session; None if the session has not failed."""
        return self._state.error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with self._only_one_task("sending"):
            await trio.lowlevel.checkpoint_if_cancelled()
            outbox = self._state.outbox
            view = memoryview(data).cast("B")
            while True:
                self._require_open()
                if outbox.ended:
                    raise trio.ClosedResourceError("the stream was ended")
                view = view[outbox.write(view) :]
                if not view:
                    await send_soon(self._state)
                    return
                self._state.wake()
                await self._state.changed.park()

    async def wait_send_all_might_not_block(self) -> None:
        with self._only_one_task("sending"):
            await trio.lowlevel.checkpoint()
            self._require_open()
            while self._state.outbox.room <= 0:
                await self._state.changed.park()
                self._require_open()

    async def send_eof(self) -> None:
        with self._only_one_task("sending"):
            await trio.lowlevel.checkpoint()
            if not self._state.outbox.ended:
                self._require_open()
                self._state.outbox.ended = True
                self._state.wake()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if max_bytes is not None and max_bytes < 1:
            raise ValueError("max_bytes must be at least 1")
        with self._only_one_task("receiving"):
            state, inbox = self._state, self._state.inbox
            if inbox.ended or not inbox.is_empty:
                await trio.lowlevel.checkpoint()
            while inbox.is_empty or self._closed:
                if inbox.ended and not self._closed:
                    return b""
                self._require_open()
                await state.changed.park()
            data = inbox.read(max_bytes)
            state.on_consumed(trio.current_time())
            return data

    async def aclose(self) -> None:
        """Close the session. Abort it unless `send_eof` was called before.

        After `send_eof`, bytes that the program has not read are discarded, and `connect` or
        `serve` waits until the peer has acknowledged the whole stream.
        """
        if self._state.outbox.ended:
            self._discard()
        else:
            await self.abort(CLOSED)
        await trio.lowlevel.checkpoint()

    async def abort(self, message: Abort) -> None:
        """Abort the session unless it is over. Send ``message`` to the peer if it is connected."""
        state = self._state
        self._close()
        if not state.over.is_set():
            state.abort(message)
            if state.channel is not None:
                with trio.move_on_after(ABORT_TIMEOUT, shield=True):
                    await state.over.wait()
            state.end(None)

    async def finish(self) -> None:
        """End the stream to the peer, and wait until the session is over.

        Bytes that the program has not read are discarded. The session is aborted if the stream from
        the peer does not end within `CLOSE_TIMEOUT`. Raises EndpointError if the session failed.
        """
        state = self._state
        state.outbox.ended = True
        self._discard()
        while not (state.outbox.is_acknowledged or state.over.is_set()):
            await state.changed.park()
        with trio.move_on_after(CLOSE_TIMEOUT):
            await state.over.wait()
        await self.abort(CLOSED)
        if state.error is not None:
            raise state.error

    def _discard(self) -> None:
        """Discard all unread bytes from the peer, and all bytes that arrive later."""
        self._close()
        self._state.is_discarding = True
        self._state.inbox.discard()
        self._state.on_consumed(trio.current_time())
        self._state.wake()

    def _close(self) -> None:
        """Make further calls of the program, and calls in progress, raise ClosedResourceError."""
        self._closed = True
        self._state.changed.unpark_all()

    def _require_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        if self._state.over.is_set():
            raise trio.BrokenResourceError("the session is over") from self._state.error

    @contextmanager
    def _only_one_task(self, action: str) -> Iterator[None]:
        if action in self._actions:
            raise trio.BusyResourceError(f"another task is {action}")
        self._actions.add(action)
        try:
            yield
        finally:
            self._actions.remove(action)
