"""Plaintext messages between endpoints."""

from __future__ import annotations

import unicodedata
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.client import messages
from relay.client.errors import ProtocolViolation
from relay.client.link import new_code
from relay.client.messages import (
    INVISIBLE,
    MAX_DATA,
    MAX_TEXT,
    Abort,
    Ack,
    Data,
    End,
    Finished,
    Message,
    NewSession,
    Ping,
    Pong,
    Reason,
    Refusal,
    Request,
    Resume,
    decode,
)
from relay.client.noise import MAX_PLAINTEXT

CODE, KEY = "AAECAwQFBgcICQoLDA0ODw", bytes(range(32))
MAX_POSITION, MAX_WINDOW = 2**64 - 1, 2**32 - 1

PLAINTEXTS: list[tuple[Message, bytes]] = [
    (Request(), b"\x01"),
    (NewSession(CODE, KEY), b"\x02" + CODE.encode() + KEY),
    (Refusal(Reason.NO_FURTHER_GUEST, "full"), b"\x03\x03full"),
    (Refusal(1), b"\x03\x01"),
    (Refusal(255, "ü"), b"\x03\xff\xc3\xbc"),
    (Resume(0, 1), b"\x10" + bytes(11) + b"\x01"),
    (Resume(0x0102030405060708, 0x090A0B0C), b"\x10" + bytes(range(1, 13))),
    (Resume(MAX_POSITION, MAX_WINDOW), b"\x10" + b"\xff" * 12),
    (Data(b"stream"), b"\x11stream"),
    (Data(bytes(MAX_DATA)), b"\x11" + bytes(65_518)),
    (End(), b"\x12"),
    (Ack(0), b"\x13" + bytes(8)),
    (Ack(0x0102030405060708), b"\x13" + bytes(range(1, 9))),
    (Ack(MAX_POSITION), b"\x13" + b"\xff" * 8),
    (Ping(), b"\x14"),
    (Pong(), b"\x15"),
    (Finished(), b"\x16"),
    (Abort(Reason.TARGET_UNREACHABLE, "connection refused"), b"\x17\x01connection refused"),
    (Abort(0, "x" * 200), b"\x17\x00" + b"x" * 200),
]

MALFORMED = [
    (b"", "message without a type"),
    (b"\x00", "message of the unknown type 0x00"),
    (b"\x04", "message of the unknown type 0x04"),
    (b"\x0f", "message of the unknown type 0x0f"),
    (b"\x18", "message of the unknown type 0x18"),
    (b"\xffsecret", "message of the unknown type 0xff"),
    (b"\x01s", "REQUEST has a body of 1 bytes instead of 0"),
    (b"\x02", "SESSION has a body of 0 bytes instead of 54"),
    (b"\x02" + CODE.encode() + KEY[1:], "SESSION has a body of 53 bytes instead of 54"),
    (b"\x02" + CODE.encode() + KEY + b"s", "SESSION has a body of 55 bytes instead of 54"),
    (b"\x02" + b"secret" + bytes(48), "the code of SESSION is not valid"),
    (b"\x02" + b"\xff" * 22 + KEY, "the code of SESSION is not valid"),
    (b"\x02" + b"A" * 21 + b"B" + KEY, "the code of SESSION is not valid"),
    (b"\x03", "REFUSED has a body of 0 bytes instead of 1 to 201"),
    (b"\x03\x01" + b"s" * 201, "REFUSED has a body of 202 bytes instead of 1 to 201"),
    (b"\x03\x01secret\xff", "the text of REFUSED is not UTF-8"),
    (b"\x10" + bytes(11), "RESUME has a body of 11 bytes instead of 12"),
    (b"\x10" + bytes(13), "RESUME has a body of 13 bytes instead of 12"),
    (b"\x10" + b"s" * 8 + bytes(4), "the window of RESUME is 0"),
    (b"\x11", "DATA has a body of 0 bytes instead of 1 to 65518"),
    (b"\x11" + bytes(65_519), "DATA has a body of 65519 bytes instead of 1 to 65518"),
    (b"\x12s", "END has a body of 1 bytes instead of 0"),
    (b"\x13" + bytes(7), "ACK has a body of 7 bytes instead of 8"),
    (b"\x13" + bytes(9), "ACK has a body of 9 bytes instead of 8"),
    (b"\x14s", "PING has a body of 1 bytes instead of 0"),
    (b"\x15s", "PONG has a body of 1 bytes instead of 0"),
    (b"\x16s", "FINISHED has a body of 1 bytes instead of 0"),
    (b"\x17", "ABORT has a body of 0 bytes instead of 1 to 201"),
    (b"\x17\x02\xc3", "the text of ABORT is not UTF-8"),
]

texts = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), max_size=50)
positions = st.integers(0, MAX_POSITION)
any_message = st.one_of(
    st.sampled_from([Request(), End(), Ping(), Pong(), Finished()]),
    st.builds(NewSession, st.builds(new_code), st.binary(min_size=32, max_size=32)),
    st.builds(Refusal, st.integers(0, 255), texts),
    st.builds(Abort, st.integers(0, 255), texts),
    st.builds(Resume, positions, st.integers(1, MAX_WINDOW)),
    st.builds(Ack, positions),
    st.builds(Data, st.binary(min_size=1, max_size=100)),
)


@pytest.mark.parametrize(("message", "plaintext"), PLAINTEXTS)
def test_plaintext(message: Message, plaintext: bytes) -> None:
    """Each message has its plaintext, and is decoded from it."""
    assert message.encode() == plaintext
    assert decode(plaintext) == message


@pytest.mark.parametrize(("plaintext", "problem"), MALFORMED)
def test_malformed(plaintext: bytes, problem: str) -> None:
    """A malformed message is a violation, whose text quotes nothing of the message."""
    with pytest.raises(ProtocolViolation) as caught:
        decode(plaintext)
    assert str(caught.value) == problem


def test_every_type_is_covered() -> None:
    """The tables above have messages of each type."""
    assert {type(message) for message, _ in PLAINTEXTS} == {*messages.CLASSES.values()}
    assert {plaintext[0] for _, plaintext in PLAINTEXTS} == {*messages.CLASSES}
    assert {*messages.CLASSES} <= {plaintext[0] for plaintext, _ in MALFORMED if plaintext}


def test_longest_message() -> None:
    """The longest DATA fills a Noise message."""
    assert len(Data(bytes(MAX_DATA)).encode()) == MAX_PLAINTEXT


@given(any_message)
def test_round_trip(message: Message) -> None:
    """A decoded message is equal to the encoded one."""
    assert decode(message.encode()) == message


@given(
    st.binary(max_size=300)
    | st.builds(
        lambda kind, body: bytes((kind,)) + body,
        st.sampled_from([*messages.CLASSES]),
        st.binary(max_size=60),
    )
)
@example(b"\x02" + "ä".encode() * 27)
def test_any_plaintext(plaintext: bytes) -> None:
    """Any plaintext is a message or a violation."""
    message: Message | None = None
    with suppress(ProtocolViolation):
        message = decode(plaintext)
    assert message is None or decode(message.encode()) == message


@given(st.text(st.characters(), max_size=300), st.integers(0, 255))
@example("x" * 199 + "ü", 1)
@example("€" * 67, 1)
@example("\ud800a\x1b[0m\u202eb\n\u2028c", 1)
def test_text(text: str, reason: int) -> None:
    """A text is cut to 200 bytes between characters, without control characters."""
    plaintext = Abort(reason, text).encode()
    assert len(plaintext) <= 2 + MAX_TEXT
    received = decode(plaintext)
    assert isinstance(received, Abort)
    visible = "".join(each for each in text if unicodedata.category(each) not in INVISIBLE)
    assert visible.startswith(received.text)
    missing = visible.removeprefix(received.text)
    assert not missing or len((received.text + missing[0]).encode()) > MAX_TEXT


def test_control_characters_of_the_peer() -> None:
    """Control characters of a peer are removed."""
    assert decode(b"\x17\x02a\x1b[2Jb\r\n\x00c\xe2\x80\xae") == Abort(2, "a[2Jbc")


def test_secrets_are_not_shown() -> None:
    """The representation of a message shows no code, key or data."""
    assert repr(NewSession(CODE, KEY)) == "NewSession()"
    assert repr(Data(b"secret")) == "Data()"
