"""An encrypted connection to the peer: a WebSocket after the handshake of the endpoints."""

from __future__ import annotations

import secrets
from typing import Final

import trio

from .errors import DecryptError, WrongKey
from .lost import ConnectionLost
from .messages import Message, decode
from .noise_handshake import MESSAGE_SIZE, Ciphers, Initiator, respond
from .websocket import WebSocket

PING_INTERVAL: Final = 25.0
"""Seconds between pings to the relay while the endpoint waits for its peer. Some NATs drop a
connection that is silent for 30 s."""

PONG_TIMEOUT: Final = 10.0
"""Maximum time, in seconds, from a ping to the pong of the relay."""

GUEST_TIMEOUT: Final = 5.0
"""Maximum time, in seconds, from the first message of a guest to its authentication."""

GUEST_LIMIT: Final = 1024
"""Maximum number of bytes that a guest may send before it is authenticated."""

HOST_SIGN: Final = b""
"""First message of a host on a link connection. It tells a second host that its peer is a host."""


class Channel:
    """Encrypted connection to the peer.

    `send` and `receive` raise ConnectionLost once the connection has ended.
    """

    def __init__(self, websocket: WebSocket, ciphers: Ciphers) -> None:
        self._websocket = websocket
        self._encrypt = ciphers.sending.encrypt
        self._decrypt = ciphers.receiving.decrypt
        self.is_sending = False
        """True while a message is being sent."""

    async def send(self, plaintext: bytes) -> None:
        """Encrypt and send a message. If it is cancelled, no further message can be sent."""
        self.is_sending = True
        await self._websocket.send(self._encrypt(plaintext))
        self.is_sending = False

    async def receive(self) -> Message:
        """Return the next message.

        Raises:
            ConnectionLost: The connection has ended, or the message cannot be decrypted.
            ProtocolViolation: The message is malformed.
        """
        return self.decode(await self._websocket.receive())

    def decode(self, message: bytes) -> Message:
        """Decrypt and decode a message. Raises the same exceptions as `receive`."""
        try:
            plaintext = self._decrypt(message)
        except DecryptError as error:
            raise ConnectionLost(str(error)) from None
        return decode(plaintext)

    async def close(self) -> None:
        """Complete the closing handshake of the WebSocket."""
        await self._websocket.close()


async def initiate(websocket: WebSocket, key: bytes, prologue: bytes) -> Channel:
    """Do the handshake of a guest. Wait for the host without a time limit.

    Raises:
        ConnectionLost: The connection has ended.
        AnotherInitiator: The peer is another guest.
        WrongKey: The peer has another key.
    """
    handshake = Initiator(key, prologue)
    await websocket.send(handshake.first_message())
    reply = await wait_for_peer(websocket)
    if reply == HOST_SIGN:
        reply = await wait_for_peer(websocket)
    return Channel(websocket, handshake.finish(reply))


async def accept(
    websocket: WebSocket, first: bytes, key: bytes, prologue: bytes
) -> tuple[Channel, Message]:
    """Do the handshake of a host with the guest that sent the message ``first``.

    The first transport message of the guest authenticates it. The handshake message does not,
    because an attacker can replay a recorded handshake message.

    Returns:
        The channel, and the first transport message of the guest.

    Raises:
        ConnectionLost: The connection has ended, or the guest is not authenticated.
        WrongKey: The guest has another key.
        ProtocolViolation: The guest sent a malformed message.
    """
    with trio.move_on_after(GUEST_TIMEOUT):
        try:
            reply, ciphers = respond(key, prologue, first)
        except WrongKey:
            # The guest cannot decrypt random bytes, which tells it that the keys differ.
            await websocket.send(secrets.token_bytes(MESSAGE_SIZE))
            await websocket.close()
            raise
        channel = Channel(websocket, ciphers)
        await websocket.send(reply)
        second = await websocket.receive()
        if len(first) + len(second) > GUEST_LIMIT:
            raise ConnectionLost("a guest sent too much before it was authenticated")
        return channel, channel.decode(second)
    raise ConnectionLost("a guest did not complete the handshake in time")


async def wait_for_peer(websocket: WebSocket) -> bytes:
    """Wait for the first message of the peer and return it. Ping the relay during the wait."""
    while True:
        with trio.move_on_after(PING_INTERVAL):
            return await websocket.receive()
        await websocket.ping(PONG_TIMEOUT)
