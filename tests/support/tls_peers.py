"""TLS clients that send any record of a test."""

from __future__ import annotations

import hmac
import ssl
from contextlib import suppress
from pathlib import Path

import trio
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from relay.daemon.tls import new_context
from relay.transport.tls_transport import TLSTransport

from .certificates import authority, client_context

KEY_UPDATE = bytes.fromhex("18 000001 01")  # with a request for one in return
APPLICATION_DATA, HANDSHAKE = 23, 22


def server_context() -> ssl.SSLContext:
    """Return the server context of the program, for localhost."""
    context = new_context()
    authority().issue_cert("localhost").configure_cert(context)
    return context


async def over_tls(
    ours: trio.SocketStream, theirs: trio.SocketStream, nursery: trio.Nursery
) -> tuple[TLSTransport, trio.abc.Stream]:
    """Return a transport with TLS over a connection, and the client's end, after the handshake."""
    transport = TLSTransport(ours.socket, server_context(), nursery)
    client = trio.SSLStream(
        theirs, client_context(), server_hostname="localhost", https_compatible=True
    )
    async with trio.open_nursery() as shaking:
        shaking.start_soon(client.do_handshake)
        await transport.handshake()
    return transport, client


class TlsPeer:
    """TLS client on a socket, whose records a test can delay, join and forge."""

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext | None = None) -> None:
        self.stream = stream
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or client_context()).wrap_bio(
            self._incoming, self._outgoing, server_hostname="localhost"
        )
        self.server_random = b""

    async def send_hello(self) -> None:
        """Send the first message of the handshake."""
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        await self.stream.send_all(self._outgoing.read())

    async def shake_hands(self, behind: bytes = b"") -> None:
        """Do the handshake, and send data in the segment of its last message."""
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self.stream.send_all(self._outgoing.read())
            except ssl.SSLError:
                await self.stream.send_all(self._outgoing.read())
                raise
            data = await self.stream.receive_some(65536)
            self.server_random = self.server_random or bytes(data[11:43])
            if not data:
                self._incoming.write_eof()
            self.feed(data)
        last = self._outgoing.read()
        await self.stream.send_all(last + (self.records(behind) if behind else b""))

    def feed(self, data: bytes) -> None:
        """Take data of the server."""
        self._incoming.write(data)

    def records(self, *messages: bytes) -> bytes:
        """Return these messages as records, one each."""
        for message in messages:
            self.tls.write(message)
        return self._outgoing.read()

    def alert(self) -> bytes:
        """Return the alert record that ends TLS because of an invalid record of the server."""
        self.feed(b"garbage that has no place in TLS")
        with suppress(ssl.SSLError):
            self.tls.read(1)
        return self._outgoing.read()

    def close_notify(self) -> bytes:
        """Return the record that ends TLS."""
        with suppress(ssl.SSLError):
            self.tls.unwrap()
        return self._outgoing.read()

    async def receive(self, size: int = 65536) -> bytes:
        """Return the next data of the server; b"" is its close_notify.

        Raises ssl.SSLEOFError if TCP ends without one.
        """
        while True:
            try:
                return self.tls.read(size)
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLWantReadError:
                if data := await self.stream.receive_some(65536):
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()

    async def receive_exactly(self, size: int) -> bytes:
        """Return so many bytes of the server's data."""
        data = bytearray()
        while len(data) < size:
            data += await self.receive(size - len(data))
        return bytes(data)


class OldForger:
    """Forger of records of a TLS 1.2 client that sent none since its handshake."""

    def __init__(self, key_log: Path, server_random: bytes) -> None:
        lines = (line.split() for line in key_log.read_text().splitlines())
        ((client_random, secret),) = (line[1:] for line in lines if line[0] == "CLIENT_RANDOM")
        seed = b"key expansion" + server_random + bytes.fromhex(client_random)
        self._key, self._salt = key_block(bytes.fromhex(secret), seed)
        self._count = 1  # the handshake's last message was the first

    def hello(self) -> bytes:
        """Return a record that begins another handshake (RFC 5246 section 6.2.3.3)."""
        payload, count = b"\x01\0\0\0", self._count.to_bytes(8)
        self._count += 1
        about = count + bytes((HANDSHAKE, 3, 3)) + len(payload).to_bytes(2)
        sealed = count + AESGCM(self._key).encrypt(self._salt + count, payload, about)
        return bytes((HANDSHAKE, 3, 3)) + len(sealed).to_bytes(2) + sealed


def key_block(secret: bytes, seed: bytes) -> tuple[bytes, bytes]:
    """Return the key and the salt of a client's records (RFC 5246 section 6.3)."""
    block, link = b"", seed
    while len(block) < 72:
        link = hmac.digest(secret, link, "sha384")
        block += hmac.digest(secret, link + seed, "sha384")
    return block[:32], block[64:68]


class Forger:
    """Forger of records of a TLS 1.3 client that sent none since its handshake."""

    def __init__(self, key_log: Path) -> None:
        lines = (line.split() for line in key_log.read_text().splitlines())
        (secret,) = (line[2] for line in lines if line[0] == "CLIENT_TRAFFIC_SECRET_0")
        self._secret = bytes.fromhex(secret)
        self._count = 0

    def record(self, kind: int, payload: bytes) -> bytes:
        """Return a record of this kind (RFC 8446 section 5.2)."""
        nonce = int.from_bytes(self._derive("iv", 12)) ^ self._count
        self._count += 1
        head = bytes((23, 3, 3)) + (len(payload) + 17).to_bytes(2)
        sealed = AESGCM(self._derive("key", 32)).encrypt(
            nonce.to_bytes(12), payload + bytes((kind,)), head
        )
        return head + sealed

    def key_update(self) -> bytes:
        """Return a record that requests new keys, and use new ones (section 4.6.3)."""
        record = self.record(HANDSHAKE, KEY_UPDATE)
        self._secret, self._count = self._derive("traffic upd", 48), 0
        return record

    def _derive(self, label: str, size: int) -> bytes:
        name = b"tls13 " + label.encode()
        info = size.to_bytes(2) + bytes((len(name),)) + name + b"\0"
        return HKDFExpand(SHA384(), size, info).derive(self._secret)
