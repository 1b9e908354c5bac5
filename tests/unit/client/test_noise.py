"""The Noise protocol, checked against published vectors and another implementation."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from noise.connection import NoiseConnection

from relay.client.errors import DecryptError, EndpointError
from relay.client.noise import (
    MAX_MESSAGE,
    MAX_PLAINTEXT,
    PROTOCOL_NAME,
    RESERVED_NONCE,
    CipherState,
    HandshakeState,
    SymmetricState,
)

PSK, PROLOGUE = bytes(range(32)), b"prologue"

# From vectors/cacophony.txt of https://github.com/haskell-cryptography/cacophony.
PUBLISHED_PSK = "54686973206973206d7920417573747269616e20706572737065637469766521"
PUBLISHED_PROLOGUE = "4a6f686e2047616c74"
PUBLISHED_EPHEMERALS = (
    "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
    "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
)
PUBLISHED_HASH = "9f3b1f9afd7767767b5b9d1069844a6154fdbdcc36dfb3e31c0fffc5c973d530"
PUBLISHED_MESSAGES = [  # payload and message, in turn from the initiator and from the responder
    (
        "4c756477696720766f6e204d69736573",
        (
            "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
            "7c37a89fc17813788d30df2d59501d6066f5f8aecc3406bbd9829f2d24a531b1"
        ),
    ),
    (
        "4d757272617920526f746862617264",
        (
            "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
            "2f29d79368ef9de4e1ae7a362fb05bf0ad668e026bf5714554497b3a720461"
        ),
    ),
    ("462e20412e20486179656b", "7c01e898a6201f36aecee532e29cd0b7f8ffa29d3366ad0dce39a6"),
    ("4361726c204d656e676572", "a9ff535aace3db6a1da1a7fb00fe2de2622bb373abad9fb42c00e0"),
    (
        "4a65616e2d426170746973746520536179",
        "6cfc49a3e65472edc2d0152abe5ce950170a8a47c959f30bd48b5f0aacf29adbfd",
    ),
    (
        "457567656e2042f6686d20766f6e2042617765726b",
        "9bc86e6d974ed21ba04604a94aa68de21677eb409ead070c0cd569b069ee19ba142aa4c1a9",
    ),
]


def handshake_state(*, is_initiator: bool, ephemeral: str = "") -> HandshakeState:
    """Return a handshake with the key and the prologue of these tests or of the vectors."""
    if not ephemeral:
        return HandshakeState(is_initiator=is_initiator, psk=PSK, prologue=PROLOGUE)
    return HandshakeState(
        is_initiator=is_initiator,
        psk=bytes.fromhex(PUBLISHED_PSK),
        prologue=bytes.fromhex(PUBLISHED_PROLOGUE),
        ephemeral=X25519PrivateKey.from_private_bytes(bytes.fromhex(ephemeral)),
    )


def reference(*, is_initiator: bool) -> NoiseConnection:
    """Return the connection of another implementation."""
    connection = NoiseConnection.from_name(PROTOCOL_NAME)
    (connection.set_as_initiator if is_initiator else connection.set_as_responder)()
    connection.set_psks(psk=PSK)
    connection.set_prologue(PROLOGUE)
    connection.start_handshake()
    return connection


def ciphers() -> tuple[CipherState, CipherState]:
    """Return two cipher states with the same key."""
    return CipherState(PSK), CipherState(PSK)


def test_published_vectors() -> None:
    """Both roles write and read the published messages."""
    initiator, responder = (
        handshake_state(is_initiator=is_initiator, ephemeral=ephemeral)
        for is_initiator, ephemeral in zip((True, False), PUBLISHED_EPHEMERALS, strict=True)
    )
    (first, second, *transport) = [
        (bytes.fromhex(payload), bytes.fromhex(message)) for payload, message in PUBLISHED_MESSAGES
    ]
    assert initiator.write_message(first[0]) == first[1]
    assert responder.read_message(first[1]) == first[0]
    assert responder.write_message(second[0]) == second[1]
    assert initiator.read_message(second[1]) == second[0]
    assert initiator.handshake_hash == responder.handshake_hash == bytes.fromhex(PUBLISHED_HASH)
    (a, b), (c, d) = initiator.split(), responder.split()
    for index, (payload, message) in enumerate(transport):
        sending, receiving = ((a, d), (c, b))[index % 2]
        assert sending.encrypt(payload) == message
        assert receiving.decrypt(message) == payload


@pytest.mark.parametrize("payloads", [(b"", b""), (b"from the initiator", b"from the responder")])
def test_initiator_with_another_implementation(payloads: tuple[bytes, bytes]) -> None:
    """The initiator and another implementation of the responder exchange messages."""
    ours, theirs = handshake_state(is_initiator=True), reference(is_initiator=False)
    assert theirs.read_message(ours.write_message(payloads[0])) == payloads[0]
    assert ours.read_message(bytes(theirs.write_message(payloads[1]))) == payloads[1]
    exchange_messages(ours, theirs)


@pytest.mark.parametrize("payloads", [(b"", b""), (b"from the initiator", b"from the responder")])
def test_responder_with_another_implementation(payloads: tuple[bytes, bytes]) -> None:
    """The responder and another implementation of the initiator exchange messages."""
    ours, theirs = handshake_state(is_initiator=False), reference(is_initiator=True)
    assert ours.read_message(bytes(theirs.write_message(payloads[0]))) == payloads[0]
    assert theirs.read_message(ours.write_message(payloads[1])) == payloads[1]
    exchange_messages(ours, theirs)


def exchange_messages(ours: HandshakeState, theirs: NoiseConnection) -> None:
    """Check the hash, and exchange transport messages both ways."""
    assert ours.handshake_hash == theirs.get_handshake_hash()
    sending, receiving = ours.split()
    for plaintext in (b"", b"\x14", bytes(MAX_PLAINTEXT), b"again"):
        assert theirs.decrypt(sending.encrypt(plaintext)) == plaintext
        assert receiving.decrypt(theirs.encrypt(plaintext)) == plaintext


def test_new_ephemeral_key() -> None:
    """Each handshake has its own ephemeral key."""
    first, second = (handshake_state(is_initiator=True).write_message() for _ in range(2))
    assert first[:32] != second[:32]


def test_zero_result_for_the_initiator() -> None:
    """The initiator refuses a public key with which the Diffie-Hellman result is zero."""
    initiator = handshake_state(is_initiator=True)
    initiator.write_message()
    with pytest.raises(DecryptError):
        initiator.read_message(bytes(48))


def test_zero_result_for_the_responder() -> None:
    """The responder refuses this key also from a peer with the pre-shared key."""
    symmetric = SymmetricState(PSK, PROLOGUE)
    symmetric.mix_hash(bytes(32))
    symmetric.mix_key(bytes(32))
    responder = handshake_state(is_initiator=False)
    responder.read_message(bytes(32) + symmetric.encrypt_and_hash(b""))
    with pytest.raises(DecryptError):
        responder.write_message()


@pytest.mark.parametrize("size", [0, 31, 32, 47, 48, MAX_MESSAGE, MAX_MESSAGE + 1])
def test_malformed_handshake_message(size: int) -> None:
    """A handshake message of the wrong size, or of other bytes, does not decrypt."""
    with pytest.raises(DecryptError):
        handshake_state(is_initiator=False).read_message(b"\x09" * size)


def test_too_long_handshake_message() -> None:
    """A handshake message may have 65,535 bytes, and not one more."""
    assert handshake_state(is_initiator=False).read_message(
        handshake_state(is_initiator=True).write_message(bytes(MAX_MESSAGE - 48))
    ) == bytes(MAX_MESSAGE - 48)
    with pytest.raises(DecryptError):
        handshake_state(is_initiator=False).read_message(
            handshake_state(is_initiator=True).write_message(bytes(MAX_MESSAGE - 47))
        )


@pytest.mark.parametrize("size", [0, 31, 33])
def test_pre_shared_key_size(size: int) -> None:
    """A pre-shared key has 32 bytes."""
    with pytest.raises(ValueError, match="a pre-shared key has 32 bytes"):
        HandshakeState(is_initiator=True, psk=bytes(size), prologue=PROLOGUE)


@pytest.mark.parametrize("index", [0, 3, -1])
def test_changed_message(index: int) -> None:
    """A changed message does not decrypt. The next correct message does."""
    sending, receiving = ciphers()
    message = sending.encrypt(b"message")
    changed = bytearray(message)
    changed[index] ^= 1
    with pytest.raises(DecryptError):
        receiving.decrypt(bytes(changed))
    assert receiving.decrypt(message) == b"message"


def test_repeated_and_reordered_messages() -> None:
    """A message decrypts only once, and only in its order."""
    sending, receiving = ciphers()
    first, second = sending.encrypt(b"first"), sending.encrypt(b"second")
    with pytest.raises(DecryptError):
        receiving.decrypt(second)
    assert receiving.decrypt(first) == b"first"
    with pytest.raises(DecryptError):
        receiving.decrypt(first)
    assert receiving.decrypt(second) == b"second"


@pytest.mark.parametrize("size", [0, 1, 15, 16, MAX_MESSAGE + 1])
def test_size_of_a_message(size: int) -> None:
    """A message without a tag, or over 65,535 bytes, does not decrypt."""
    with pytest.raises(DecryptError):
        CipherState(PSK).decrypt(bytes(size))


def test_size_of_a_plaintext() -> None:
    """A plaintext of 65,519 bytes fills a message, and a longer one is refused."""
    sending, receiving = ciphers()
    message = sending.encrypt(bytes(MAX_PLAINTEXT))
    assert len(message) == MAX_MESSAGE
    assert receiving.decrypt(message) == bytes(MAX_PLAINTEXT)
    with pytest.raises(ValueError, match="a message has at most 65519 bytes of plaintext"):
        sending.encrypt(bytes(MAX_PLAINTEXT + 1))
    too_long = AESGCM(PSK).encrypt(bytes(12), bytes(MAX_PLAINTEXT + 1), None)
    with pytest.raises(DecryptError):
        CipherState(PSK).decrypt(too_long)


def test_reserved_nonce() -> None:
    """The last nonce is 2^64 - 2."""
    sending, receiving = (CipherState(PSK, RESERVED_NONCE - 1) for _ in range(2))
    assert receiving.decrypt(sending.encrypt(b"last")) == b"last"
    with pytest.raises(EndpointError, match="has encrypted its last message"):
        sending.encrypt(b"")
    with pytest.raises(EndpointError, match="has encrypted its last message"):
        receiving.decrypt(bytes(16))
