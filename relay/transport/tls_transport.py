"""Transport over the descriptor of a socket, with the relay's own TLS.

An `ssl.SSLObject` does no I/O: it takes received ciphertext from one buffer, and puts ciphertext to
send into another. `SocketTransport` reads and writes the descriptor. This module decrypts as part
of each read, and encrypts once the socket has accepted all earlier ciphertext.

- Each read processes all received ciphertext, because epoll does not report ciphertext that is
  already in a buffer. Plaintext that exceeds the caller's limit is kept in `_pushed_back`.
- Frames that are sent while the socket is full are buffered as plaintext, so that a deferred frame
  can still be replaced. They are encrypted when they are written.
- OpenSSL never shrinks its buffers. The buffers stay small because at most one record at a time is
  written into them.
- OpenSSL replies to some received records, such as a KeyUpdate. A reply is sent immediately, or
  after the ciphertext that is already buffered. If a client causes more than `MAX_REPLIES` bytes of
  replies and reads none of them, the relay disconnects the client.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

import trio

from .accepted_socket import Socket
from .epoll_reader import EpollReader
from .epoll_registration import Take
from .socket_transport import SocketTransport
from .tls_failure import classify_failure

RECORD: Final = 16 * 1024
"""Maximum size, in bytes, of the plaintext in one TLS record (RFC 8446 section 5.1)."""

MAX_REPLIES: Final = 64 * 1024
"""Maximum total size, in bytes, of the unsent replies to received TLS records."""


class TLSTransport(SocketTransport):
    """TLS server over a TCP or Unix socket.

    A close_notify from the client ends the client's stream, and so does the end of the TCP stream.
    Unless the connection failed, the relay sends close_notify after the last frame.
    """

    __slots__ = (
        "_ended",
        "_failed",
        "_handshake_complete",
        "_incoming",
        "_notified",
        "_outgoing",
        "_tls",
    )

    def __init__(
        self,
        sock: Socket,
        context: ssl.SSLContext,
        nursery: trio.Nursery,
        reader: EpollReader | None = None,
    ) -> None:
        super().__init__(sock, nursery, reader)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._handshake_complete = False  # True once the handshake is complete
        self._ended = False  # True if no plaintext follows `_pushed_back`
        self._failed = False  # True if no plaintext follows `_pushed_back` because of an error
        self._notified = False  # True once close_notify was sent
        self.handshake_done = False

    async def handshake(self) -> None:
        try:
            await self._handshake()
        except trio.BrokenResourceError as error:
            if not self._failed:
                self.failure = classify_failure(error)
            raise
        self.handshake_done = True
        # The last read may contain application data after the handshake.
        self._pushed_back = self._plaintext()

    async def _handshake(self) -> None:
        """Exchange the handshake messages. `_step` processes the bytes of each read.

        Raises trio.BrokenResourceError if the handshake or the connection fails.
        """
        try:
            with suppress(BlockingIOError):
                self._step(self._read_bytes(RECORD))
            while not self._handshake_complete and not self._failed:
                if self._unsent:
                    await self.flush()
                else:
                    await self._read_until(self._step, RECORD, self._read_bytes)
        except OSError as error:  # the kernel reports a reset only once
            self.broken = True
            raise trio.BrokenResourceError from error
        if self._failed:
            raise trio.BrokenResourceError
        await self.flush()

    def _step(self, data: bytes) -> bool:
        """Continue the handshake with received bytes; b"" is the end of the stream.

        Return True if the handshake has succeeded or failed, or if the socket is full.
        """
        if data:
            self.heard = True
            self._incoming.write(data)
        elif self.heard:
            self._incoming.write_eof()
        else:  # the client ended its stream before its first byte: send no alert
            self._failed = True
            return True
        try:
            self._tls.do_handshake()
            self._handshake_complete = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.failure = classify_failure(error)
            self._failed = True
        return not self.try_send(b"") or self._handshake_complete or self._failed

    def _read_now(self, max_bytes: int) -> bytes:
        if not self._has_more():
            plaintext = self._decrypt(self._read_bytes(max_bytes))
            if 0 < len(plaintext) <= max_bytes:
                return plaintext
            self._pushed_back = plaintext
        if self._pushed_back:
            return self._take_pushed_back(max_bytes)
        if self._failed:
            self._break()
            raise trio.BrokenResourceError
        if self._ended:
            return b""
        raise BlockingIOError  # no record is complete

    def _read_rest(self, take: Take, max_bytes: int) -> Coroutine[Any, Any, None]:
        return self._read_until(take, max_bytes, self._read_now, self._has_more)

    def _has_more(self) -> bool:
        return bool(self._pushed_back) or self._ended or self._failed

    def _decrypt(self, data: bytes) -> bytes:
        """Return the plaintext of received bytes; b"" if they complete no record.

        At the end of the TCP stream, ``data`` is b"", and this method sets `_ended`. For an invalid
        record, the relay sends an alert, and this method sets `_failed`. `_read_now` then returns
        the plaintext before this record, and raises an exception when it is called again.
        """
        if not data:
            self._ended = True
            return b""
        pieces: list[bytes] = []
        view = memoryview(data)
        for at in range(0, len(data), RECORD):
            self._incoming.write(view[at : at + RECORD])
            pieces.append(self._plaintext())
            if self._has_more():  # the stream ended or failed
                break
        if self._outgoing.pending:
            self._reply()
        plaintext = b"".join(pieces)
        self.overhead += len(data) - len(plaintext)
        return plaintext

    def _plaintext(self) -> bytes:
        """Return the plaintext of all complete records. Set `_ended` after close_notify."""
        plaintext = b""
        try:
            # OpenSSL takes only one record at a time from the buffer. So once the buffer is empty,
            # no plaintext is left, and a further read would only raise SSLWantReadError.
            while self._incoming.pending and not self._ended:
                if piece := self._tls.read(RECORD):
                    plaintext = plaintext + piece if plaintext else piece
                else:
                    self._ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._send_records()
            self._failed = True
        return plaintext

    def _reply(self) -> None:
        """Send the replies to received TLS records. Set `_failed` if too many bytes are unsent."""
        if not self._unsent:
            self.send_deferred(b"")
        elif self._outgoing.pending > MAX_REPLIES:
            self._failed = True

    def try_send(self, data: bytes) -> bool:
        if not self.broken and not self._unsent:
            self._descriptor()  # raises if the transport is closed
            data = self._encrypt(data)
        return super().try_send(data)

    def _next(self) -> bytes:
        data, self._behind = self._behind, b""
        return self._encrypt(data)

    def _encrypt(self, data: bytes) -> bytes:
        """Encrypt data. Return the records, and before them any pending ones, such as an alert."""
        try:
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
        except ssl.SSLError as error:
            self._break()
            raise trio.BrokenResourceError from error

    def _send_records(self) -> None:
        """Send the pending records of OpenSSL, such as an alert. Ignore a failed write."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            self.try_send(b"")

    def _notify(self) -> None:
        """Send close_notify once, unless the handshake is incomplete."""
        if self.handshake_done and not self._notified:
            self._notified = True
            with suppress(ssl.SSLError):  # do not wait for the client's close_notify
                self._tls.unwrap()
            self._send_records()

    async def send_eof(self) -> None:
        self._notify()
        await super().send_eof()

    async def aclose(self) -> None:
        if self._fd >= 0:
            self._notify()
            # Read once, because the kernel resets a connection that is closed with unread data,
            # such as the client's close_notify.
            with suppress(OSError):
                os.read(self._fd, RECORD)
        await super().aclose()
