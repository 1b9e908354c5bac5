"""A wire over the descriptor of a socket, with TLS as one step between socket and frames.

An `ssl.SSLObject` does no I/O: it takes ciphertext from one buffer, and puts ciphertext into
another. `SocketTransport` reads and writes the descriptor; this module decrypts in the call that
reads, and encrypts when the socket took all ciphertext before.

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
from typing import Final

import trio

from .epoll_reader import EpollReader, Take
from .socket_transport import SocketTransport
from .tls_failure import failure_of

__all__ = ["TLSSocket", "TLSTransport"]

RECORD: Final = 16 * 1024
"""The most plaintext that a TLS record holds, in bytes (RFC 8446 section 5.1)."""

MAX_REPLIES: Final = 64 * 1024
"""Bytes of records that reads may produce while the client takes no data."""


class TLSSocket(trio.abc.AsyncResource):
    """An accepted socket whose client is to speak TLS, before the handshake."""

    def __init__(self, transport_stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        self.transport_stream = transport_stream
        self.context = context

    async def aclose(self) -> None:
        await self.transport_stream.aclose()


class TLSTransport(SocketTransport):
    """A TCP or Unix socket whose client speaks TLS, with the relay as the server.

    The end of TLS (close_notify) and the end of TCP both end the stream of the client. The relay
    sends its own close_notify behind the last frame of every connection that did not fail.
    """

    __slots__ = (
        "_ended",
        "_failed",
        "_incoming",
        "_notified",
        "_outgoing",
        "_shaken",
        "_tls",
    )

    def __init__(
        self, stream: TLSSocket, nursery: trio.Nursery, reader: EpollReader | None = None
    ) -> None:
        super().__init__(stream.transport_stream, nursery, reader)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = stream.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._shaken = False  # the handshake is complete
        self._ended = False  # no plaintext comes behind `_unread`
        self._failed = False  # nor here, because of an error
        self._notified = False  # close_notify was sent
        self.handshake_done = False

    async def handshake(self) -> None:
        try:
            await self._handshake()
        except trio.BrokenResourceError as error:
            if not self._failed:
                self.failure = failure_of(error)
            raise
        self.handshake_done = True
        self._pushed_back = (
            self._plaintext()
        )  # the client's last read may have data behind the handshake

    async def _handshake(self) -> None:
        """Exchange the messages of the handshake; its steps are taken where bytes are read.

        Raises trio.BrokenResourceError if it or the connection fails.
        """
        try:
            self._step(self._read_bytes(RECORD))
        except BlockingIOError:
            pass
        except OSError as error:  # the system tells about a reset only once
            raise trio.BrokenResourceError from error
        while not self._shaken and not self._failed:
            if self._unsent:
                await self.flush()
            else:
                await self._read_until(self._step, RECORD, self._read_bytes)
        if self._failed:
            raise trio.BrokenResourceError
        await self.flush()

    def _step(self, data: bytes) -> bool:
        """Take a step of the handshake; return True if it is over, or there is no room to send."""
        if data:
            self.heard = True
            self._incoming.write(data)
        elif self.heard:
            self._incoming.write_eof()
        else:  # nobody is there to be told of a failure
            self._failed = True
            return True
        try:
            self._tls.do_handshake()
            self._shaken = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.failure = failure_of(error)
            self._failed = True
        return not self.try_send(b"") or self._shaken or self._failed

    def _read_now(self, max_bytes: int) -> bytes:
        if not self._has_more():
            self._pushed_back = self._decrypt(self._read_bytes(max_bytes))
        if self._pushed_back:
            return self._take_pushed_back(max_bytes)
        if self._failed:
            self._break()
            raise trio.BrokenResourceError
        if self._ended:
            return b""
        raise BlockingIOError  # no record is complete

    async def _read_rest(self, take: Take, max_bytes: int) -> None:
        await self._read_until(take, max_bytes, self._read_now, self._has_more)

    def _has_more(self) -> bool:
        return bool(self._pushed_back) or self._ended or self._failed

    def _decrypt(self, data: bytes) -> bytes:
        """Return the plaintext of data, of which b"" is the end of TCP; note the end of either.

        Returns b"" also where no record is complete. Where data is not TLS, an alert is sent, and
        the failure is raised once the plaintext before it is read.
        """
        if not data:
            self._ended = True
            return b""
        pieces: list[bytes] = []
        view = memoryview(data)
        for at in range(0, len(data), RECORD):
            self._incoming.write(view[at : at + RECORD])
            pieces.append(self._plaintext())
            if self._has_more():  # it ended, or failed
                break
        if self._outgoing.pending:
            self._reply()
        plaintext = b"".join(pieces)
        self.overhead += len(data) - len(plaintext)
        return plaintext

    def _plaintext(self) -> bytes:
        """Decrypt all records that are complete."""
        pieces: list[bytes] = []
        try:
            # OpenSSL reads no further than the record that it returns. So nothing is left once
            # the buffer is empty, and no exception need say so.
            while self._incoming.pending and not self._ended:
                if piece := self._tls.read(RECORD):
                    pieces.append(piece)
                else:
                    self._ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._send_records()
            self._failed = True
        return b"".join(pieces)

    def _reply(self) -> None:
        """Send the records that a read produced."""
        if not self._unsent:
            self.send_deferred(b"")
        elif self._outgoing.pending > MAX_REPLIES:
            self._failed = True

    def try_send(self, data: bytes) -> bool:
        if not self.broken and not self._unsent:
            self._descriptor()  # raises if the wire is closed
            try:
                data = self._encrypt(data)
            except ssl.SSLError as error:
                self._break()
                raise trio.BrokenResourceError from error
        return super().try_send(data)

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
            self.try_send(b"")

    def _notify(self) -> None:
        """Send close_notify, once; there is none for a handshake that is not complete."""
        if self.handshake_done and not self._notified:
            self._notified = True
            with suppress(ssl.SSLError):  # that of the client is not waited for here
                self._tls.unwrap()
            self._send_records()

    async def send_eof(self) -> None:
        self._notify()
        await super().send_eof()

    async def aclose(self) -> None:
        if self._fd >= 0:
            self._notify()
            # Closing a socket with unread data resets it, and a client that leaves says so in TLS.
            with suppress(OSError):
                os.read(self._fd, RECORD)
        await super().aclose()
