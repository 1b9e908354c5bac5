"""Pair a daemon and a client by the pairing payload of ARC, and encrypt with NaCl boxes.

Usage: `python examples/arc_endpoint.py daemon wss://relay.example` prints the payload, and returns
each message in capitals. `python examples/arc_endpoint.py client` reads the payload and then
messages from standard input, one a line, and prints the replies. examples/echo_home.py shows how to
reconnect.

The payload is that of the clients of the Node relay: base64url of a JSON object with `v`,
`relayUrl`, `daemonPub`, `pairCode` and `label`. It is a secret, because it admits a client. The
messages are those of this example:

1. The client sends an ephemeral public key.
2. The daemon sends a random nonce, and an ephemeral public key of its own, in a box from its
   long-lived key. Only a holder of the payload has `daemonPub`, which opens the box.
3. Each further message is a box from ephemeral key to ephemeral key. Its nonce is not sent: it is
   the direction and the number of the message, so that the relay can neither repeat nor reorder
   nor reflect messages. An empty message is the end.
"""

from __future__ import annotations

import base64
import json
import random
import secrets
import sys
import time
from dataclasses import asdict, dataclass
from urllib.parse import quote

from nacl.exceptions import CryptoError
from nacl.public import Box, PrivateKey, PublicKey
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection, connect

HANDSHAKE_TIMEOUT = 5.0
"""Seconds that an unauthenticated peer has for its next message."""

MAX_MESSAGE = 65_536
"""Size in bytes of the longest message that an endpoint receives."""


@dataclass(frozen=True)
class Pairing:
    """The pairing payload, which the daemon shows and the client scans."""

    v: int
    relayUrl: str  # noqa: N815 - the names of the payload
    daemonPub: str  # noqa: N815
    pairCode: str  # noqa: N815
    label: str = ""

    def encode(self) -> str:
        """Return the payload as text."""
        return to_text(json.dumps(asdict(self), separators=(",", ":")).encode())

    @classmethod
    def decode(cls, text: str) -> Pairing:
        """Return the payload in a text; raise ValueError if it is no payload of version 1."""
        try:
            fields = json.loads(from_text(text))
            PublicKey(from_text(fields["daemonPub"]))
            names = ("v", "relayUrl", "daemonPub", "pairCode")
            pairing = cls(*(fields[name] for name in names))
        except (ValueError, KeyError, TypeError, CryptoError):
            raise ValueError("standard input does not begin with a pairing payload") from None
        if pairing.v != 1:
            raise ValueError("the pairing payload has another version")
        return pairing

    def connect(self) -> ClientConnection:
        """Connect to the relay with the pair code."""
        url = f"{self.relayUrl.rstrip('/')}/?pair={quote(self.pairCode, safe='')}"
        return connect(url, max_size=MAX_MESSAGE)


class Channel:
    """Encrypted messages between two ephemeral keys."""

    def __init__(self, connection: ClientConnection, box: Box, *, is_client: bool) -> None:
        self.connection = connection
        self.box = box
        self.sent = self.received = 0
        self.sending, self.receiving = (b"c", b"d") if is_client else (b"d", b"c")

    def send(self, message: bytes) -> None:
        """Send a message; an empty one is the end."""
        nonce = self.sending + self.sent.to_bytes(Box.NONCE_SIZE - 1)
        self.connection.send(self.box.encrypt(message, nonce).ciphertext)
        self.sent += 1

    def receive(self, timeout: float | None = None) -> bytes:
        """Return the next message; raise CryptoError if it is not the next one of the peer."""
        nonce = self.receiving + self.received.to_bytes(Box.NONCE_SIZE - 1)
        message = self.box.decrypt(binary(self.connection, timeout), nonce)
        self.received += 1
        return message


def accept(connection: ClientConnection, key: PrivateKey) -> Channel:
    """Do the handshake of the daemon."""
    client = PublicKey(binary(connection))  # the first message may take as long as it likes
    ephemeral = PrivateKey.generate()
    connection.send(bytes(Box(key, client).encrypt(bytes(ephemeral.public_key))))
    return Channel(connection, Box(ephemeral, client), is_client=False)


def join(connection: ClientConnection, daemon: PublicKey) -> Channel:
    """Do the handshake of the client."""
    ephemeral = PrivateKey.generate()
    connection.send(bytes(ephemeral.public_key))
    reply = Box(ephemeral, daemon).decrypt(binary(connection))
    return Channel(connection, Box(ephemeral, PublicKey(reply)), is_client=True)


def serve_client(connection: ClientConnection, key: PrivateKey) -> None:
    """Return each message of one client in capitals, until the client ends."""
    channel = accept(connection, key)
    message = channel.receive(HANDSHAKE_TIMEOUT)  # the client is authenticated when it decrypts
    while message:
        channel.send(message.upper())
        message = channel.receive()
    channel.send(b"")


def daemon(relay: str) -> None:
    key = PrivateKey.generate()
    public, code = to_text(bytes(key.public_key)), secrets.token_urlsafe(16)
    pairing = Pairing(1, relay, public, code, "example")
    print(pairing.encode(), flush=True)
    while True:
        try:
            with pairing.connect() as connection:
                serve_client(connection, key)
        except (ConnectionClosed, CryptoError, OSError, ValueError) as failure:
            print(f"arc_endpoint: {type(failure).__name__}; next client", file=sys.stderr)
            time.sleep(random.random())  # noqa: S311


def client() -> None:
    pairing = Pairing.decode(sys.stdin.readline().strip())
    with pairing.connect() as connection:
        channel = join(connection, PublicKey(from_text(pairing.daemonPub)))
        for line in sys.stdin:
            if message := line.rstrip("\n").encode():
                channel.send(message)
                print(channel.receive().decode())
        channel.send(b"")
        channel.receive()


def binary(connection: ClientConnection, timeout: float | None = None) -> bytes:
    """Return the next message of the connection, which is binary: the relay drops text."""
    message = connection.recv(timeout, decode=False)
    return bytes(message)


def to_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def from_text(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def main() -> None:
    try:
        if sys.argv[1:2] == ["daemon"] and len(sys.argv) == 3:  # noqa: PLR2004
            daemon(sys.argv[2])
        elif sys.argv[1:] == ["client"]:
            client()
        else:
            sys.exit("usage: arc_endpoint.py daemon RELAY | arc_endpoint.py client")
    except CryptoError:
        sys.exit("arc_endpoint: the peer does not have the key of this pairing payload")
    except (ConnectionClosed, InvalidHandshake, InvalidURI, OSError, ValueError) as failure:
        sys.exit(f"arc_endpoint: {failure}")


if __name__ == "__main__":
    main()
