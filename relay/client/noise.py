"""Encryption of a connection: Noise_NNpsk0_25519_AESGCM_SHA256, revision 34, without I/O.

The guest is the initiator, the host the responder (docs/endpoints.md). The names are from the
specification, https://noiseprotocol.org/noise.html. Python cannot wipe keys from memory. A key
stays there until the interpreter reuses its memory.
"""

from __future__ import annotations

import copy
import hashlib
import struct
from itertools import repeat
from typing import Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .errors import AnotherInitiator, ConnectionLost, WrongKey

VERSION: Final = b"arc-relay endpoint 1"  # name and version of the endpoint protocol

# Name of the protocol. It has 32 bytes, so it is also the initial hash (section 5.2).
PROTOCOL_NAME: Final = b"Noise_NNpsk0_25519_AESGCM_SHA256"

KEY_SIZE: Final = 32  # bytes of a pre-shared key, a public key, a cipher key and a hash
TAG_SIZE: Final = 16
HANDSHAKE_SIZE: Final = KEY_SIZE + TAG_SIZE  # bytes of each handshake message without payload
MAX_MESSAGE: Final = 65_535  # bytes of a Noise message (section 3)
MAX_PLAINTEXT: Final = MAX_MESSAGE - TAG_SIZE

# Pack a nonce for AES-GCM: 32 zero bits, then the big-endian counter (section 12.4).
pack_nonce: Final = struct.Struct(">IQ").pack


def prologue(kind: Literal["link", "session"], code: str) -> bytes:
    """Return the prologue of a connection with a link code or a session code."""
    return b"\n".join((VERSION, kind.encode(), code.encode()))


class CipherState:
    """Key and nonces of one direction (section 5.1). The last 64-bit nonce is never used."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)
        self._nonces = map(pack_nonce, repeat(0), range(2**64 - 1))

    def encrypt(self, plaintext: bytes) -> bytes:
        """Encrypt a message of at most `MAX_PLAINTEXT` bytes."""
        return self._aead.encrypt(next(self._nonces), plaintext, None)

    def decrypt(self, message: bytes) -> bytes:
        """Decrypt a message. Raises ConnectionLost if it was changed, repeated or reordered."""
        try:
            return self._aead.decrypt(next(self._nonces), message, None)
        except InvalidTag:
            raise ConnectionLost("message does not decrypt") from None


class Handshake:
    """Handshake in one role: ``-> psk, e`` and ``<- e, ee``.

    The initiator calls `write`, `read`, `split`; the responder `read`, `write`, `split`. After an
    exception, no method may be called. The messages of endpoints have no payload. Only tests with
    published vectors have payloads and give the ephemeral key.
    """

    def __init__(
        self, psk: bytes, prologue: bytes, ephemeral: X25519PrivateKey | None = None
    ) -> None:
        self._ephemeral = ephemeral or X25519PrivateKey.generate()
        self._remote: bytes | None = None
        self._has_written = False
        # Earlier state of an initiator, which can read the message of another initiator.
        self._before_first: Handshake | None = None
        # Hash of the messages so far. After the second message, this hash is unique.
        self.hash = self._chaining_key = PROTOCOL_NAME
        self._mix_hash(prologue)
        self._chaining_key, mixed, self._key = hkdf(self._chaining_key, psk, 3)
        self._mix_hash(mixed)

    def write(self, payload: bytes = b"") -> bytes:
        """Return the message of this role. Raises WrongKey if the peer's public key is not safe."""
        if self._remote is None:
            self._before_first = copy.copy(self)
        public = self._ephemeral.public_key().public_bytes_raw()
        self._has_written = True
        try:
            self._mix_public_key(public)
        except ValueError:
            raise WrongKey from None
        encrypted = AESGCM(self._key).encrypt(bytes(12), payload, self.hash)
        self._mix_hash(encrypted)
        return public + encrypted

    def read(self, message: bytes, payload_size: int = 0) -> None:
        """Read the message of the other role, with a payload of exactly ``payload_size`` bytes.

        Raises AnotherInitiator if the peer of this initiator is an initiator, too, and WrongKey if
        the peer has another key, another prologue or another protocol.
        """
        try:
            self._read(message, payload_size)
        except (InvalidTag, ValueError):
            if self._before_first is None:
                raise WrongKey from None
            initiator, self._before_first = self._before_first, None
            initiator.read(message)
            raise AnotherInitiator from None

    def split(self) -> tuple[CipherState, CipherState]:
        """Return the cipher state for sending, and the cipher state for receiving."""
        first, second = map(CipherState, hkdf(self._chaining_key, b"", 2))
        return (first, second) if self._before_first is not None else (second, first)

    def _read(self, message: bytes, payload_size: int) -> None:
        if len(message) != HANDSHAKE_SIZE + payload_size:
            raise ValueError
        public, encrypted = message[:KEY_SIZE], message[KEY_SIZE:]
        self._remote = public
        self._mix_public_key(public)
        AESGCM(self._key).decrypt(bytes(12), encrypted, self.hash)
        self._mix_hash(encrypted)

    def _mix_public_key(self, public: bytes) -> None:
        """Mix in the public key of a message, and ``ee`` in the second message.

        Raises ValueError if the Diffie-Hellman result is zero (RFC 7748 section 6.1).
        """
        self._mix_hash(public)
        self._mix_key(public)  # because of the pre-shared key (section 9.2)
        if self._remote is not None and self._has_written:
            remote = X25519PublicKey.from_public_bytes(self._remote)
            self._mix_key(self._ephemeral.exchange(remote))

    def _mix_hash(self, data: bytes) -> None:
        self.hash = hashlib.sha256(self.hash + data).digest()

    def _mix_key(self, material: bytes) -> None:
        self._chaining_key, self._key = hkdf(self._chaining_key, material, 2)


def hkdf(chaining_key: bytes, material: bytes, outputs: int) -> list[bytes]:
    """Derive two or three keys (section 4.3) with HKDF (RFC 5869) without ``info``."""
    derivation = HKDF(SHA256(), outputs * KEY_SIZE, salt=chaining_key, info=None)
    derived = derivation.derive(material)
    return [derived[i : i + KEY_SIZE] for i in range(0, len(derived), KEY_SIZE)]
