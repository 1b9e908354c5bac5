"""The protocol Noise_NNpsk0_25519_AESGCM_SHA256 of the Noise Protocol Framework, revision 34.

Sans-IO. The names in this module are from the specification, https://noiseprotocol.org/noise.html.
Python cannot wipe keys from memory. A key stays there until the interpreter reuses its memory.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .errors import DecryptError, EndpointError

PROTOCOL_NAME: Final = b"Noise_NNpsk0_25519_AESGCM_SHA256"
"""Name of the protocol. It has 32 bytes, so it is also the initial hash (section 5.2)."""

KEY_SIZE: Final = 32
"""Size, in bytes, of a pre-shared key, a public key, a cipher key and a hash."""

TAG_SIZE: Final = 16
MAX_MESSAGE: Final = 65_535
"""Maximum size, in bytes, of a Noise message (section 3)."""

MAX_PLAINTEXT: Final = MAX_MESSAGE - TAG_SIZE
RESERVED_NONCE: Final = 2**64 - 1
"""Nonce that must not be used for a message (section 5.1)."""

pack_nonce: Final = struct.Struct(">IQ").pack
"""Pack a nonce for AES-GCM: 32 zero bits, then the big-endian counter (section 12.4)."""


class CipherState:
    """Key and nonce of one direction (section 5.1). Each message increments the nonce."""

    __slots__ = ("_aead", "_nonce")

    def __init__(self, key: bytes, nonce: int = 0) -> None:
        self._aead = AESGCM(key)
        self._nonce = nonce

    def encrypt(self, plaintext: bytes, associated_data: bytes | None = None) -> bytes:
        """Encrypt a message.

        Args:
            plaintext: At most `MAX_PLAINTEXT` bytes.
            associated_data: Bytes that are authenticated, but neither encrypted nor sent.

        Raises:
            EndpointError: The key has encrypted 2^64 - 1 messages.
            ValueError: The plaintext is too long.
        """
        if len(plaintext) > MAX_PLAINTEXT:
            raise ValueError(f"a message has at most {MAX_PLAINTEXT} bytes of plaintext")
        message = self._aead.encrypt(self._next_nonce(), plaintext, associated_data)
        self._nonce += 1
        return message

    def decrypt(self, message: bytes, associated_data: bytes | None = None) -> bytes:
        """Decrypt a message. If this fails, the nonce stays the same.

        Raises:
            DecryptError: The message is too long, or was not encrypted with this key and nonce.
            EndpointError: The key has decrypted 2^64 - 1 messages.
        """
        if len(message) > MAX_MESSAGE:
            raise DecryptError
        try:
            plaintext = self._aead.decrypt(self._next_nonce(), message, associated_data)
        except InvalidTag:
            raise DecryptError from None
        self._nonce += 1
        return plaintext

    def _next_nonce(self) -> bytes:
        if self._nonce == RESERVED_NONCE:
            raise EndpointError("the key of this connection has encrypted its last message")
        return pack_nonce(0, self._nonce)


class SymmetricState:
    """Chaining key, hash and cipher of a handshake (section 5.2).

    The constructor also processes the prologue and the token ``psk``.
    """

    __slots__ = ("_chaining_key", "_cipher", "hash")

    def __init__(self, psk: bytes, prologue: bytes) -> None:
        if len(psk) != KEY_SIZE:
            raise ValueError(f"a pre-shared key has {KEY_SIZE} bytes")
        self.hash = self._chaining_key = PROTOCOL_NAME
        self.mix_hash(prologue)
        # MixKeyAndHash
        self._chaining_key, addition, key = hkdf(self._chaining_key, psk, 3)
        self.mix_hash(addition)
        self._cipher = CipherState(key)

    def mix_hash(self, data: bytes) -> None:
        """Mix data into the hash."""
        self.hash = hashlib.sha256(self.hash + data).digest()

    def mix_key(self, material: bytes) -> None:
        """Mix key material into the chaining key, and replace the cipher key."""
        self._chaining_key, key = hkdf(self._chaining_key, material, 2)
        self._cipher = CipherState(key)

    def encrypt_and_hash(self, payload: bytes) -> bytes:
        """Encrypt a payload with the hash as associated data. Mix the ciphertext into the hash."""
        ciphertext = self._cipher.encrypt(payload, self.hash)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        """Decrypt a payload, and mix the ciphertext into the hash. Raises DecryptError."""
        payload = self._cipher.decrypt(ciphertext, self.hash)
        self.mix_hash(ciphertext)
        return payload

    def split(self) -> tuple[CipherState, CipherState]:
        """Return the cipher state of the initiator's messages, and that of the responder's."""
        first, second = hkdf(self._chaining_key, b"", 2)
        return CipherState(first), CipherState(second)


class HandshakeState:
    """State of the handshake in one role (section 5.3): ``-> psk, e`` and ``<- e, ee``.

    The initiator calls `write_message`, `read_message` and `split`. The responder calls
    `read_message`, `write_message` and `split`. After an exception, no method may be called.
    """

    __slots__ = ("_ephemeral", "_is_initiator", "_remote", "_sent", "_symmetric")

    def __init__(
        self,
        *,
        is_initiator: bool,
        psk: bytes,
        prologue: bytes,
        ephemeral: X25519PrivateKey | None = None,
    ) -> None:
        """Start a handshake.

        Args:
            is_initiator: True for the role that writes the first message.
            psk: Pre-shared key of 32 bytes.
            prologue: Bytes that must be equal in both roles.
            ephemeral: Ephemeral key, only for tests; None for a new key.
        """
        self._symmetric = SymmetricState(psk, prologue)
        self._is_initiator = is_initiator
        self._ephemeral = ephemeral or X25519PrivateKey.generate()
        self._remote: X25519PublicKey | None = None
        self._sent = False

    @property
    def handshake_hash(self) -> bytes:
        """Hash of the messages so far. After the second message, this hash is unique."""
        return self._symmetric.hash

    def write_message(self, payload: bytes = b"") -> bytes:
        """Return the handshake message of this role.

        Raises:
            DecryptError: The Diffie-Hellman result is zero (RFC 7748 section 6.1).
        """
        public = self._ephemeral.public_key().public_bytes_raw()
        self._sent = True
        self._mix_public_key(public)
        return public + self._symmetric.encrypt_and_hash(payload)

    def read_message(self, message: bytes) -> bytes:
        """Read the handshake message of the other role, and return the payload.

        Raises:
            DecryptError: The message is malformed, or the keys or prologues differ.
        """
        public, ciphertext = message[:KEY_SIZE], message[KEY_SIZE:]
        if len(ciphertext) < TAG_SIZE or len(message) > MAX_MESSAGE:
            raise DecryptError
        self._remote = X25519PublicKey.from_public_bytes(public)
        self._mix_public_key(public)
        return self._symmetric.decrypt_and_hash(ciphertext)

    def split(self) -> tuple[CipherState, CipherState]:
        """Return two cipher states: the first for sending, the second for receiving."""
        first, second = self._symmetric.split()
        return (first, second) if self._is_initiator else (second, first)

    def _mix_public_key(self, public: bytes) -> None:
        """Mix in the public key of a message. In the second message, also mix in ``ee``."""
        self._symmetric.mix_hash(public)
        self._symmetric.mix_key(public)  # because of the pre-shared key (section 9.2)
        if self._sent and self._remote is not None:
            try:
                shared = self._ephemeral.exchange(self._remote)
            except ValueError:  # zero, for a public key of low order
                raise DecryptError from None
            self._symmetric.mix_key(shared)


def hkdf(chaining_key: bytes, material: bytes, outputs: int) -> list[bytes]:
    """Derive two or three keys (section 4.3) with HKDF (RFC 5869) without ``info``."""
    derivation = HKDF(SHA256(), outputs * KEY_SIZE, salt=chaining_key, info=None)
    derived = derivation.derive(material)
    return [derived[i : i + KEY_SIZE] for i in range(0, len(derived), KEY_SIZE)]
