"""A TLS socket of the load.

It reads up to 64 KiB of ciphertext at once. `ssl.SSLSocket` reads twice for each record, and a
relay that sends a record for each message would then be measured by the cost of the load.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Generator
from typing import cast

_CHUNK = 1 << 16


class TLSSocket(socket.socket):
    """A connected socket with TLS, for the calls that the load makes.

    Unlike that of a plain socket, `send` accepts a chunk only as a whole: after
    BlockingIOError the caller repeats it with the same data.
    """

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, *, server: bool) -> None:
        """Take over the descriptor and the timeout of a connected socket."""
        timeout = plain.gettimeout()
        super().__init__(fileno=plain.detach())
        self.settimeout(timeout)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server)
        self._encrypted = 0
        self._unsent = memoryview(b"")
        self._ended = False

    def handshake(self) -> Generator[None, None, None]:
        """Do the TLS handshake; yield before each wait for the other side."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                super().sendall(self._outgoing.read())
                yield
                if not self._fill():
                    raise ConnectionError("end of stream in the TLS handshake") from None
            else:
                super().sendall(self._outgoing.read())
                return

    def send(self, data: bytes | memoryview, _flags: int = 0) -> int:  # type: ignore[override]
        if not self._unsent:
            self._encrypted = self._tls.write(data[:_CHUNK])
            self._unsent = memoryview(self._outgoing.read())
        while self._unsent:
            self._unsent = self._unsent[super().send(self._unsent) :]
        return self._encrypted

    def sendall(self, data: bytes, _flags: int = 0) -> None:  # type: ignore[override]
        while data:
            data = data[self.send(data) :]

    def recv(self, size: int, _flags: int = 0) -> bytes:
        buffer = bytearray(size)
        return bytes(buffer[: self.recv_into(buffer)])

    def recv_into(  # type: ignore[override]
        self, buffer: bytearray | memoryview, _size: int = 0, _flags: int = 0
    ) -> int:
        view, at = memoryview(buffer), 0
        while at < len(view) and not self._ended:
            count = self._decrypt(view[at:])
            if count is None:
                if at or not self._fill():
                    break
            else:
                at += count
                self._ended = not count
        return at

    def _decrypt(self, view: memoryview) -> int | None:
        """Decrypt data of one record; return None if no whole record has arrived, 0 at the end."""
        if not (self._incoming.pending or self._tls.pending()):
            return None  # without the cost of an exception
        try:
            # With a buffer, it returns a number; typeshed says bytes.
            return cast("int", self._tls.read(len(view), view))
        except ssl.SSLWantReadError:
            return None

    def _fill(self) -> bool:
        """Read ciphertext; return False at the end of the stream."""
        data = super().recv(_CHUNK)
        self._incoming.write(data)
        return bool(data)
