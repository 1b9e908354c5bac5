"""A wire over the descriptor of a socket, with TLS as one step between socket and frames.

An `ssl.SSLObject` does no I/O: it takes ciphertext from one buffer, and puts ciphertext into
another. `SocketWire` reads and writes the descriptor; this module decrypts in the call that reads,
and encrypts when the socket took all ciphertext before.

- Every read empties the buffer of received ciphertext. No plaintext is left where no readable
  descriptor would tell of it. Plaintext in excess of the caller's limit is kept in `_unread`.
- Frames that are sent while the socket has no room wait as plaintext. So a deferred frame can still
  be replaced, and each record is made when it is written.
- The buffers of OpenSSL never shrink. They are fed in small pieces, which keeps those of an idle
  connection small.
- A read may produce records, such as the answer to a KeyUpdate. They are sent at once, or behind
  the ciphertext that waits. A client that causes more of them than it takes is disconnected.
"""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from .lookout import Lookout
from .socket_wire import SocketWire, Take
from .tls_failure import failure_of

__all__ = ["TlsSocket", "TlsWire"]

RECORD: Final = 16 * 1024
"""The most plaintext that a TLS record holds, in bytes (RFC 8446 section 5.1)."""

MAX_REPLIES: Final = 64 * 1024
"""Bytes of records that reads may produce while the client takes no data."""


class TlsSocket(trio.abc.AsyncResource):
    """An accepted socket whose client is to speak TLS, before the handshake."""

    def __init__(self, transport_stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        self.transport_stream = transport_stream
        self.context = context

    async def aclose(self) -> None:
        await self.transport_stream.aclose()


class TlsWire(SocketWire):
    """A TCP or Unix socket whose client speaks TLS, with the relay as the server.

    The end of TLS (close_notify) and the end of TCP both end the stream of the client. The relay
    sends its own close_notify behind the last frame of every connection that did not fail.
    """

    __slots__ = ("_ended", "_incoming", "_notified", "_outgoing", "_tls")

    def __init__(
        self, stream: TlsSocket, nursery: trio.Nursery, lookout: Lookout | None = None
    ) -> None:
        super().__init__(stream.transport_stream, nursery, lookout)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = stream.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._ended = False  # no plaintext comes behind `_unread`
        self._notified = False  # close_notify was sent
        self.begun = False

    async def begin(self) -> None:
        try:
            await self._handshake()
        except ssl.SSLError as error:
            self.failure = failure_of(error)
            self._send_records()
            raise trio.BrokenResourceError from error
        except trio.BrokenResourceError as error:
            self.failure = failure_of(error)
            raise
        self.begun = True
        pieces: list[bytes] = []
        self._drain(pieces)  # the client's last read may have data behind the handshake
        self._unread = b"".join(pieces)

    async def _handshake(self) -> None:
        """Exchange the messages of the handshake.

        Raises ssl.SSLError if it fails, and trio.BrokenResourceError if the connection does.
        """
        read, done = self._read_first, False
        while not done:
            with suppress(ssl.SSLWantReadError):
                self._tls.do_handshake()
                done = True
            await self.send_all(b"")  # the records of the handshake
            if not done:
                if data := await read(RECORD):
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
                read = self._read

    async def receive_some(self, max_bytes: int) -> bytes:
        while not self._unread and not self._ended:
            self._unread = self._decrypt(await self._read(max_bytes))
        return self._reread(max_bytes)

    async def receive_first(self, max_bytes: int) -> bytes:
        return await self.receive_some(max_bytes)

    async def receive_until(self, take: Take, max_bytes: int) -> None:
        if not self._deliver(take, max_bytes):
            await super().receive_until(take, max_bytes)

    def _reader(self, take: Take, max_bytes: int) -> Take:
        return partial(self._take, take, max_bytes)

    def _take(self, take: Take, max_bytes: int, data: bytes) -> bool:
        """Decrypt data and deliver the plaintext; return True if take wants no more."""
        self._unread = self._decrypt(data)
        return self._deliver(take, max_bytes)

    def _deliver(self, take: Take, max_bytes: int) -> bool:
        """Give take the plaintext that is there, and the end; return True if it wants no more."""
        while self._unread:
            if take(self._reread(max_bytes)):
                return True
        return self._ended and take(b"")

    def _decrypt(self, data: bytes) -> bytes:
        """Return the plaintext of data, of which b"" is the end of TCP; note the end of either.

        Returns b"" also where no record is complete. Raises trio.BrokenResourceError, and sends an
        alert, if data is not TLS.
        """
        if not data:
            self._ended = True
            return b""
        pieces: list[bytes] = []
        view = memoryview(data)
        for at in range(0, len(data), RECORD):
            self._incoming.write(view[at : at + RECORD])
            self._drain(pieces)
        if self._outgoing.pending:
            self._reply()
        return b"".join(pieces)

    def _drain(self, pieces: list[bytes]) -> None:
        """Decrypt all records that are complete."""
        try:
            # OpenSSL reads no further than the record that it returns. So nothing is left once
            # the buffer is empty, and no exception need say so.
            while self._incoming.pending:
                if not (piece := self._tls.read(RECORD)):
                    self._ended = True
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._send_records()
            self._break()
            raise trio.BrokenResourceError from error

    def _reply(self) -> None:
        """Send the records that a read produced."""
        if not self._unsent:
            self.send_soon(b"")
        elif self._outgoing.pending > MAX_REPLIES:
            self._break()
            raise trio.BrokenResourceError

    def send_now(self, data: bytes) -> bool:
        if not self.broken and not self._unsent:
            self._descriptor()  # raises if the wire is closed
            try:
                data = self._encrypt(data)
            except ssl.SSLError as error:
                self._break()
                raise trio.BrokenResourceError from error
        return super().send_now(data)

    def _next(self) -> bytes:
        data, self._behind = self._behind, b""
        return self._encrypt(data)

    def _encrypt(self, data: bytes) -> bytes:
        """Return the records of data, behind those that OpenSSL has to send itself."""
        if len(data) <= RECORD:
            if data:
                self._tls.write(data)
            return self._outgoing.read()
        records = []
        view = memoryview(data)
        for at in range(0, len(data), RECORD):
            self._tls.write(view[at : at + RECORD])
            records.append(self._outgoing.read())
        return b"".join(records)

    def _send_records(self) -> None:
        """Send the records that OpenSSL has to send itself, such as an alert, if there is room."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            self.send_now(b"")

    def _notify(self) -> None:
        """Send close_notify, once; there is none for a handshake that is not complete."""
        if self.begun and not self._notified:
            self._notified = True
            with suppress(ssl.SSLError):  # that of the client is not waited for here
                self._tls.unwrap()
            self._send_records()

    async def linger(self) -> None:
        self._notify()
        await super().linger()

    async def aclose(self) -> None:
        if self._fd >= 0:
            self._notify()
            # Closing a socket with unread data resets it, and a client that leaves says so in TLS.
            with suppress(OSError):
                os.read(self._fd, RECORD)
        await super().aclose()
