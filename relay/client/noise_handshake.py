"""Handshake between endpoints, without I/O: the guest is the initiator, the host the responder.

docs/endpoints.md specifies the handshake. Each message has 48 bytes, because payloads are empty.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from .errors import AnotherInitiator, DecryptError, WrongKey
from .noise import KEY_SIZE, TAG_SIZE, CipherState, HandshakeState

VERSION: Final = b"arc-relay endpoint 1"
"""Name and version of the endpoint protocol."""

MESSAGE_SIZE: Final = KEY_SIZE + TAG_SIZE
"""Size, in bytes, of each handshake message."""


class Ciphers(NamedTuple):
    """Result of a handshake."""

    sending: CipherState
    receiving: CipherState
    handshake_hash: bytes
    """Hash of the handshake. It is equal at both endpoints, and different for each connection."""


def prologue(kind: Literal["link", "session"], code: str) -> bytes:
    """Return the prologue of a connection with a link code or a session code."""
    return b"\n".join((VERSION, kind.encode(), code.encode()))


class Initiator:
    """Handshake of a guest.

    Args:
        psk: Link key or session key.
        prologue: Result of the function `prologue`.
        ephemeral: Ephemeral key, only for tests; None for a new key.
    """

    def __init__(
        self, psk: bytes, prologue: bytes, ephemeral: X25519PrivateKey | None = None
    ) -> None:
        self._psk = psk
        self._prologue = prologue
        self._state = HandshakeState(
            is_initiator=True, psk=psk, prologue=prologue, ephemeral=ephemeral
        )

    def first_message(self) -> bytes:
        """Return the first message of the handshake."""
        return self._state.write_message()

    def finish(self, message: bytes) -> Ciphers:
        """Read the message of the peer, and return the ciphers of the connection.

        Raises:
            AnotherInitiator: The peer is a guest too.
            WrongKey: The peer has another key, or uses another protocol.
        """
        try:
            read_empty(self._state, message)
        except DecryptError:
            if self._is_first_message(message):
                raise AnotherInitiator from None
            raise WrongKey from None
        return Ciphers(*self._state.split(), self._state.handshake_hash)

    def _is_first_message(self, message: bytes) -> bool:
        """Return True if the message is from an initiator with the same key and prologue."""
        responder = HandshakeState(is_initiator=False, psk=self._psk, prologue=self._prologue)
        try:
            read_empty(responder, message)
        except DecryptError:
            return False
        return True


def respond(
    psk: bytes, prologue: bytes, message: bytes, ephemeral: X25519PrivateKey | None = None
) -> tuple[bytes, Ciphers]:
    """Do the handshake of a host.

    The guest is not authenticated until its first transport message is decrypted, because an
    attacker can replay a recorded handshake message.

    Args:
        psk: Link key or session key.
        prologue: Result of the function `prologue`.
        message: First message of the peer.
        ephemeral: Ephemeral key, only for tests; None for a new key.

    Returns:
        The message to send to the peer, and the ciphers of the connection.

    Raises:
        WrongKey: The peer has another key, or uses another protocol.
    """
    state = HandshakeState(is_initiator=False, psk=psk, prologue=prologue, ephemeral=ephemeral)
    try:
        read_empty(state, message)
        reply = state.write_message()
    except DecryptError:
        raise WrongKey from None
    return reply, Ciphers(*state.split(), state.handshake_hash)


def read_empty(state: HandshakeState, message: bytes) -> None:
    """Read a handshake message without payload. Raises DecryptError for any other message."""
    if len(message) != MESSAGE_SIZE:
        raise DecryptError
    state.read_message(message)
