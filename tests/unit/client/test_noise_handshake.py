"""Handshake of a guest and a host."""

from __future__ import annotations

import pytest

from relay.client.errors import AnotherInitiator, WrongKey
from relay.client.noise import HandshakeState
from relay.client.noise_handshake import MESSAGE_SIZE, VERSION, Initiator, prologue, respond

PSK, OTHER_PSK = bytes(32), bytes([1] * 32)
PROLOGUE = prologue("link", "code")
OTHER_PROLOGUES = [
    prologue("session", "code"),
    prologue("link", "other"),
    PROLOGUE.replace(b" 1\n", b" 2\n"),
    b"",
]


def test_prologue() -> None:
    """The prologue holds the version, the kind of the code, and the code in UTF-8."""
    assert prologue("link", "cödé") == b"arc-relay endpoint 1\nlink\nc\xc3\xb6d\xc3\xa9"
    assert prologue("session", "a b") == VERSION + b"\nsession\na b"


def test_messages_both_ways() -> None:
    """After the handshake, both endpoints decrypt the messages of the other."""
    guest = Initiator(PSK, PROLOGUE)
    first = guest.first_message()
    reply, host_ciphers = respond(PSK, PROLOGUE, first)
    ciphers = guest.finish(reply)
    assert len(first) == len(reply) == MESSAGE_SIZE == 48
    assert ciphers.handshake_hash == host_ciphers.handshake_hash
    assert host_ciphers.receiving.decrypt(ciphers.sending.encrypt(b"request")) == b"request"
    assert ciphers.receiving.decrypt(host_ciphers.sending.encrypt(b"session")) == b"session"


def test_two_connections() -> None:
    """Two connections with the same key have nothing in common, also if one is a replay."""
    guest = Initiator(PSK, PROLOGUE)
    first = guest.first_message()
    (reply, ciphers), (other_reply, other_ciphers) = (
        respond(PSK, PROLOGUE, first) for _ in range(2)
    )
    assert reply != other_reply
    assert ciphers.handshake_hash != other_ciphers.handshake_hash
    assert ciphers.sending.encrypt(b"") != other_ciphers.sending.encrypt(b"")


@pytest.mark.parametrize(
    ("psk", "other_prologue"),
    [(OTHER_PSK, PROLOGUE), *((PSK, each) for each in OTHER_PROLOGUES)],
)
def test_host_refuses(psk: bytes, other_prologue: bytes) -> None:
    """A host refuses a guest with another key, code, kind of code or version."""
    with pytest.raises(WrongKey, match=r"^the peer does not have the key of this link$"):
        respond(PSK, PROLOGUE, Initiator(psk, other_prologue).first_message())


@pytest.mark.parametrize("size", [0, 1, 32, 47, 48, 49, 65_535, 65_536])
def test_garbage(size: int) -> None:
    """Both endpoints refuse a message that is not one of the handshake."""
    message = b"\x42" * size
    with pytest.raises(WrongKey):
        respond(PSK, PROLOGUE, message)
    guest = Initiator(PSK, PROLOGUE)
    guest.first_message()
    with pytest.raises(WrongKey):
        guest.finish(message)


def test_payload() -> None:
    """Both endpoints refuse a handshake message with a payload."""
    state = HandshakeState(is_initiator=True, psk=PSK, prologue=PROLOGUE)
    with pytest.raises(WrongKey):
        respond(PSK, PROLOGUE, state.write_message(b"payload"))
    guest = Initiator(PSK, PROLOGUE)
    host = HandshakeState(is_initiator=False, psk=PSK, prologue=PROLOGUE)
    host.read_message(guest.first_message())
    with pytest.raises(WrongKey):
        guest.finish(host.write_message(b"payload"))


def test_host_with_another_key() -> None:
    """A guest refuses the reply of a peer that answers with another key."""
    guest = Initiator(PSK, PROLOGUE)
    guest.first_message()
    reply, _ = respond(OTHER_PSK, PROLOGUE, Initiator(OTHER_PSK, PROLOGUE).first_message())
    with pytest.raises(WrongKey):
        guest.finish(reply)


def test_reply_of_another_connection() -> None:
    """A guest refuses the recorded reply of an earlier connection."""
    reply, _ = respond(PSK, PROLOGUE, Initiator(PSK, PROLOGUE).first_message())
    guest = Initiator(PSK, PROLOGUE)
    guest.first_message()
    with pytest.raises(WrongKey):
        guest.finish(reply)


def test_another_guest() -> None:
    """A guest notices that its peer is a guest of the same link, or its own reflection."""
    guest = Initiator(PSK, PROLOGUE)
    for message in (guest.first_message(), Initiator(PSK, PROLOGUE).first_message()):
        state = Initiator(PSK, PROLOGUE)
        state.first_message()
        with pytest.raises(AnotherInitiator):
            state.finish(message)


@pytest.mark.parametrize("psk", [PSK, OTHER_PSK])
def test_guest_of_another_link(psk: bytes) -> None:
    """A guest with another key or another code is no guest of the same link."""
    other_prologue = OTHER_PROLOGUES[1] if psk == PSK else PROLOGUE
    guest = Initiator(PSK, PROLOGUE)
    guest.first_message()
    with pytest.raises(WrongKey):
        guest.finish(Initiator(psk, other_prologue).first_message())
