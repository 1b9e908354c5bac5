"""The Noise protocol, checked against published vectors and another implementation."""

from __future__ import annotations

from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from noise.connection import NoiseConnection

from relay.client.errors import AnotherInitiator, ConnectionLost, WrongKey
from relay.client.noise import (
    HANDSHAKE_SIZE,
    MAX_MESSAGE,
    MAX_PLAINTEXT,
    PROTOCOL_NAME,
    VERSION,
    CipherState,
    Handshake,
    prologue,
)

PSK, OTHER_PSK = bytes(range(32)), bytes([1] * 32)
PROLOGUE = prologue("link", "code")
OTHER_PROLOGUES = [
    prologue("session", "code"),
    prologue("link", "other"),
    PROLOGUE.replace(b" 1\n", b" 2\n"),
    b"",
]

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


def reference(*, is_initiator: bool) -> NoiseConnection:
    """Return the connection of another implementation."""
    connection = NoiseConnection.from_name(PROTOCOL_NAME)
    (connection.set_as_initiator if is_initiator else connection.set_as_responder)()
    connection.set_psks(psk=PSK)
    connection.set_prologue(PROLOGUE)
    connection.start_handshake()
    return connection


def first_message(psk: bytes = PSK, start: bytes = PROLOGUE) -> bytes:
    """Return the first message of a guest."""
    return Handshake(psk, start).write()


def guest() -> Handshake:
    """Return a guest that has sent its message."""
    handshake = Handshake(PSK, PROLOGUE)
    handshake.write()
    return handshake


def ciphers() -> tuple[CipherState, CipherState]:
    """Return two cipher states with the same key."""
    return CipherState(PSK), CipherState(PSK)


def test_prologue() -> None:
    """The prologue holds the version, the kind of the code, and the code in UTF-8."""
    assert prologue("link", "cödé") == b"arc-relay endpoint 1\nlink\nc\xc3\xb6d\xc3\xa9"
    assert prologue("session", "a b") == VERSION + b"\nsession\na b"


def test_published_vector() -> None:
    """Both roles give the messages and the hash of the published vector."""
    initiator, responder = (
        Handshake(
            bytes.fromhex(PUBLISHED_PSK),
            bytes.fromhex(PUBLISHED_PROLOGUE),
            X25519PrivateKey.from_private_bytes(bytes.fromhex(ephemeral)),
        )
        for ephemeral in PUBLISHED_EPHEMERALS
    )
    (first, second, *rest) = [
        (bytes.fromhex(payload), bytes.fromhex(message)) for payload, message in PUBLISHED_MESSAGES
    ]
    for (payload, message), writer, reader in (
        (first, initiator, responder),
        (second, responder, initiator),
    ):
        assert writer.write(payload) == message
        reader.read(message, len(payload))
    assert initiator.hash == responder.hash == bytes.fromhex(PUBLISHED_HASH)
    ends = initiator.split(), responder.split()
    for number, (payload, message) in enumerate(rest):
        sending, receiving = ends[number % 2][0], ends[1 - number % 2][1]
        assert sending.encrypt(payload) == message
        assert receiving.decrypt(message) == payload


def test_initiator_with_another_implementation() -> None:
    """The initiator and another implementation of the responder exchange messages."""
    ours, theirs = Handshake(PSK, PROLOGUE), reference(is_initiator=False)
    assert theirs.read_message(ours.write()) == b""
    ours.read(bytes(theirs.write_message()))
    exchange_messages(ours, theirs)


def test_responder_with_another_implementation() -> None:
    """The responder and another implementation of the initiator exchange messages."""
    ours, theirs = Handshake(PSK, PROLOGUE), reference(is_initiator=True)
    ours.read(bytes(theirs.write_message()))
    assert theirs.read_message(ours.write()) == b""
    exchange_messages(ours, theirs)


def exchange_messages(ours: Handshake, theirs: NoiseConnection) -> None:
    """Check the hash, and exchange transport messages both ways."""
    assert ours.hash == theirs.get_handshake_hash()
    sending, receiving = ours.split()
    for plaintext in (b"", b"\x14", bytes(MAX_PLAINTEXT), b"again"):
        assert theirs.decrypt(sending.encrypt(plaintext)) == plaintext
        assert receiving.decrypt(theirs.encrypt(plaintext)) == plaintext


@pytest.mark.parametrize("is_initiator", [True, False])
def test_payload(is_initiator: bool) -> None:
    """A handshake message with a payload is refused."""
    theirs = reference(is_initiator=is_initiator)
    ours = Handshake(PSK, PROLOGUE)
    if not is_initiator:
        theirs.read_message(ours.write())
    with pytest.raises(WrongKey):
        ours.read(bytes(theirs.write_message(b"payload")))


def test_two_connections() -> None:
    """Two connections with the same key have nothing in common, also if one is a replay."""
    assert first_message()[:32] != first_message()[:32]
    first = first_message()
    hosts = [Handshake(PSK, PROLOGUE) for _ in range(2)]
    for host in hosts:
        host.read(first)
    replies = {host.write() for host in hosts}
    assert len(replies) == len({host.hash for host in hosts}) == 2
    assert {len(first), *map(len, replies)} == {HANDSHAKE_SIZE} == {48}
    assert len({host.split()[0].encrypt(b"") for host in hosts}) == 2


class ZeroKey:
    """Ephemeral key whose public key makes the Diffie-Hellman result zero."""

    def public_key(self) -> ZeroKey:
        """Return the public key."""
        return self

    def public_bytes_raw(self) -> bytes:
        """Return the bytes of the public key."""
        return bytes(32)


def test_zero_result() -> None:
    """Both roles refuse a public key with which the Diffie-Hellman result is zero."""
    zero = Handshake(PSK, PROLOGUE, cast("X25519PrivateKey", ZeroKey()))
    host = Handshake(PSK, PROLOGUE)
    host.read(zero.write())
    with pytest.raises(WrongKey):
        host.write()
    with pytest.raises(WrongKey):
        guest().read(bytes(48))


@pytest.mark.parametrize(
    ("psk", "other_prologue"),
    [(OTHER_PSK, PROLOGUE), *((PSK, each) for each in OTHER_PROLOGUES)],
)
def test_wrong_key(psk: bytes, other_prologue: bytes) -> None:
    """A peer with another key, code, kind of code or version is refused in both roles."""
    message = first_message(psk, other_prologue)
    for handshake in (Handshake(PSK, PROLOGUE), guest()):
        with pytest.raises(WrongKey, match=r"^the peer does not have the key of this link$"):
            handshake.read(message)


@pytest.mark.parametrize("size", [0, 1, 31, 32, 47, 48, 49, 65_535, 65_536])
def test_malformed_handshake_message(size: int) -> None:
    """Both roles refuse a message that is not one of the handshake."""
    for handshake in (Handshake(PSK, PROLOGUE), guest()):
        with pytest.raises(WrongKey):
            handshake.read(b"\x42" * size)


@pytest.mark.parametrize("psk", [PSK, OTHER_PSK])
def test_wrong_reply(psk: bytes) -> None:
    """A guest refuses a reply with another key, and the recorded reply of another connection."""
    host = Handshake(psk, PROLOGUE)
    host.read(first_message(psk))
    with pytest.raises(WrongKey):
        guest().read(host.write())


def test_another_guest() -> None:
    """A guest notices that its peer is a guest of the same link, or its own reflection."""
    handshake = Handshake(PSK, PROLOGUE)
    with pytest.raises(AnotherInitiator):
        handshake.read(handshake.write())
    with pytest.raises(AnotherInitiator):
        guest().read(first_message())


@pytest.mark.parametrize("index", [0, 3, -1])
def test_changed_message(index: int) -> None:
    """A changed message does not decrypt."""
    sending, receiving = ciphers()
    changed = bytearray(sending.encrypt(b"message"))
    changed[index] ^= 1
    with pytest.raises(ConnectionLost, match=r"^message does not decrypt$"):
        receiving.decrypt(bytes(changed))


def test_repeated_and_reordered_messages() -> None:
    """A message decrypts only once, and only in its order."""
    sending, receiving = ciphers()
    first, second = sending.encrypt(b"first"), sending.encrypt(b"second")
    with pytest.raises(ConnectionLost):
        CipherState(PSK).decrypt(second)
    assert receiving.decrypt(first) == b"first"
    with pytest.raises(ConnectionLost):
        receiving.decrypt(first)


@pytest.mark.parametrize("size", [0, 1, 15, 16])
def test_size_of_a_message(size: int) -> None:
    """A message without a tag does not decrypt."""
    with pytest.raises(ConnectionLost):
        CipherState(PSK).decrypt(bytes(size))


def test_size_of_a_plaintext() -> None:
    """A plaintext of 65,519 bytes fills a message."""
    sending, receiving = ciphers()
    message = sending.encrypt(bytes(MAX_PLAINTEXT))
    assert len(message) == MAX_MESSAGE
    assert receiving.decrypt(message) == bytes(MAX_PLAINTEXT)
