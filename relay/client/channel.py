"""An encrypted connection to the peer: a WebSocket after the handshake of the endpoints."""

from __future__ import annotations

import secrets
from typing import Final, Literal

import trio

from .errors import ConnectionLost, WrongKey
from .link import Link
from .messages import Message, NewSession, decode
from .noise import HANDSHAKE_SIZE, Handshake, prologue
from .websocket import WebSocket

PING_INTERVAL: Final = 25.0  # seconds; some NATs drop a connection that is silent for 30 s
PONG_TIMEOUT: Final = 10.0  # seconds from a ping to the pong of the relay
GUEST_TIMEOUT: Final = 5.0  # seconds from the first message of a guest to its authentication
GUEST_LIMIT: Final = 1024  # bytes that a guest may send before it is authenticated

# First message of a host on a link connection. It tells a second host that its peer is a host.
HOST_SIGN: Final = b""


class Channel:
    """Encrypted connection to the peer. Its methods raise ConnectionLost once it has ended."""

    def __init__(self, websocket: WebSocket, handshake: Handshake) -> None:
        self._websocket = websocket
        sending, receiving = handshake.split()
        self._encrypt, self._decrypt = sending.encrypt, receiving.decrypt
        self._unsent = 0  # number of messages that tasks are sending, or that were left out

    @property
    def is_sending(self) -> bool:
        """True while a task sends a message, and for ever after a message was left out."""
        return self._unsent > 0

    async def send(self, plaintext: bytes) -> None:
        """Encrypt and send a message. If it is cancelled, no further message can be sent."""
        self._unsent += 1
        await self._websocket.send(self._encrypt(plaintext))
        self._unsent -= 1

    async def receive(self) -> Message:
        """Return the next message. Raises ProtocolViolation if it is malformed."""
        return self.decode(await self._websocket.receive())

    def decode(self, message: bytes) -> Message:
        """Decrypt and decode a message. Raises the same exceptions as `receive`."""
        return decode(self._decrypt(message))

    async def close(self) -> None:
        """Complete the closing handshake of the WebSocket."""
        await self._websocket.close()


Names = Link | NewSession  # code and key of a connection


def start_handshake(names: Names) -> Handshake:
    """Return a handshake for a connection with the code of a link or of a session."""
    kind: Literal["link", "session"] = "link" if isinstance(names, Link) else "session"
    return Handshake(names.key, prologue(kind, names.code))


async def initiate(websocket: WebSocket, names: Names) -> Channel:
    """Do the handshake of a guest. Wait for the host without a time limit.

    Raises ConnectionLost, or AnotherInitiator or WrongKey like `Handshake.read`.
    """
    handshake = start_handshake(names)
    await websocket.send(handshake.write())
    reply = await wait_for_peer(websocket)
    if reply == HOST_SIGN:
        reply = await wait_for_peer(websocket)
    handshake.read(reply)
    return Channel(websocket, handshake)


async def accept(websocket: WebSocket, names: Names, first: bytes) -> tuple[Channel, Message]:
    """Do the handshake of a host with the guest that sent the message ``first``.

    The first transport message of the guest authenticates it. The handshake message does not,
    because an attacker can replay a recorded handshake message. Returns the channel and this
    transport message. Raises ConnectionLost if the guest is not authenticated, WrongKey if it has
    another key, and ProtocolViolation if its message is malformed.
    """
    with trio.move_on_after(GUEST_TIMEOUT):
        handshake = start_handshake(names)
        try:
            handshake.read(first)
            reply = handshake.write()
        except WrongKey:
            # The guest cannot decrypt random bytes, which tells it that the keys differ.
            await websocket.send(secrets.token_bytes(HANDSHAKE_SIZE))
            await websocket.close()
            raise
        await websocket.send(reply)
        second = await websocket.receive()
        if len(first) + len(second) > GUEST_LIMIT:
            raise ConnectionLost("a guest sent too much before it was authenticated")
        channel = Channel(websocket, handshake)
        return channel, channel.decode(second)
    raise ConnectionLost("a guest did not complete the handshake in time")


async def wait_for_peer(websocket: WebSocket) -> bytes:
    """Wait for the first message of the peer and return it. Ping the relay during the wait."""
    while True:
        with trio.move_on_after(PING_INTERVAL):
            return await websocket.receive()
        await websocket.ping(PONG_TIMEOUT)
