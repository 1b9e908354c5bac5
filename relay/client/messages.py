"""Plaintext of messages between endpoints (docs/endpoints.md): a byte for the type, and a body.

Pure. A malformed message raises `ProtocolViolation`. The exception quotes no part of the message.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct
from typing import Any, ClassVar, Final, Self

from .errors import ProtocolViolation
from .link import CODE_SIZE, decode_base64url
from .noise import MAX_PLAINTEXT

MAX_DATA: Final = MAX_PLAINTEXT - 1  # maximum number of stream bytes in one message
MAX_TEXT: Final = 200  # maximum size, in bytes of UTF-8, of the text in a message

# Unicode categories of characters that can change the display of a text, and of surrogates.
INVISIBLE: Final = {"Cc", "Cf", "Cs", "Zl", "Zp"}


class Reason(IntEnum):
    """Reason in REFUSED and ABORT. A peer of a later version may send other numbers."""

    TARGET_UNREACHABLE = 1  # the host cannot reach its target
    CLOSED = 2  # the program of the sender ended or closed the session
    NO_FURTHER_GUEST = 3  # the host serves no further guests
    PROTOCOL_VIOLATION = 4  # the receiver of this message violated the protocol


@dataclass(frozen=True)
class Message:
    """Base class of messages. The fields of a message are those of its body, in this order."""

    TYPE: ClassVar[int]
    NAME: ClassVar[str]
    FIXED: ClassVar = Struct("")  # layout of the fields of fixed size
    REST: ClassVar = range(1)  # permitted sizes, in bytes, of a last field of variable size

    def encode(self) -> bytes:
        """Return the message in plaintext."""
        values = [each.encode() if isinstance(each, str) else each for each in vars(self).values()]
        rest = values.pop() if range(1) != self.REST else b""
        return b"".join((bytes((self.TYPE,)), self.FIXED.pack(*values), rest))

    @classmethod
    def parse(cls, *values: Any) -> Self:
        """Return a message with the values of its body. Raises ProtocolViolation."""
        return cls(*values)


class Request(Message):
    """Request of a guest for a session."""

    TYPE, NAME = 0x01, "REQUEST"


@dataclass(frozen=True)
class NewSession(Message):
    """Answer of a host that opens a session. The ``repr`` shows neither the code nor the key."""

    TYPE, NAME, FIXED = 0x02, "SESSION", Struct("22s32s")
    code: str = field(repr=False)
    key: bytes = field(repr=False)

    @classmethod
    def parse(cls, code: bytes, key: bytes) -> Self:
        try:
            decode_base64url(code.decode(), CODE_SIZE)
        except ValueError:
            raise ProtocolViolation("the code of SESSION is not valid") from None
        return cls(code.decode(), key)


@dataclass(frozen=True)
class ReasonMessage(Message):
    """Message with a `Reason` or another number from 0 to 255, and a text for the user.

    The text is made `displayable` and cut to `MAX_TEXT`.
    """

    FIXED, REST = Struct("B"), range(MAX_TEXT + 1)
    reason: int
    text: str = ""

    def __post_init__(self) -> None:
        cut = displayable(self.text).encode()[:MAX_TEXT]
        # Omit a character that was cut in two.
        object.__setattr__(self, "text", cut.decode(errors="ignore"))

    @classmethod
    def parse(cls, reason: int, text: bytes) -> Self:
        try:
            return cls(reason, text.decode())
        except UnicodeDecodeError:
            raise ProtocolViolation(f"the text of {cls.NAME} is not UTF-8") from None


class Refusal(ReasonMessage):
    """Answer of a host that opens no session."""

    TYPE, NAME = 0x03, "REFUSED"


@dataclass(frozen=True)
class Resume(Message):
    """First message of each endpoint in a session connection, with the state of its `Inbox`."""

    TYPE, NAME, FIXED = 0x10, "RESUME", Struct(">QI")
    # Number of bytes received. The end of the peer's stream counts as one byte.
    received: int
    window: int  # number of bytes that this endpoint buffers for its program

    @classmethod
    def parse(cls, received: int, window: int) -> Self:
        if not window:
            raise ProtocolViolation("the window of RESUME is 0")
        return cls(received, window)


@dataclass(frozen=True)
class Data(Message):
    """Next bytes of the stream. The ``repr`` does not show the bytes."""

    TYPE, NAME, REST = 0x11, "DATA", range(1, MAX_DATA + 1)
    data: bytes = field(repr=False)


class End(Message):
    """End of the stream."""

    TYPE, NAME = 0x12, "END"


@dataclass(frozen=True)
class Ack(Message):
    """Acknowledgement of all bytes before a position of the peer's stream."""

    TYPE, NAME, FIXED = 0x13, "ACK", Struct(">Q")
    # Number of acknowledged bytes. The end of the stream counts as one byte.
    received: int


class Ping(Message):
    """Request for PONG."""

    TYPE, NAME = 0x14, "PING"


class Pong(Message):
    """Answer to PING."""

    TYPE, NAME = 0x15, "PONG"


class Finished(Message):
    """Report that the sender has received the peer's END, and an ACK for its own END."""

    TYPE, NAME = 0x16, "FINISHED"


class Abort(ReasonMessage):
    """Immediate end of the session."""

    TYPE, NAME = 0x17, "ABORT"


# Class for each message type.
CLASSES: Final[dict[int, type[Message]]] = {
    each.TYPE: each
    for each in (Request, NewSession, Refusal, Resume, Data, End, Ack, Ping, Pong, Finished, Abort)
}


def decode(plaintext: bytes) -> Message:
    """Decode a message in plaintext. Raises ProtocolViolation if it is malformed."""
    if not plaintext:
        raise ProtocolViolation("message without a type")
    kind = CLASSES.get(plaintext[0])
    if kind is None:
        raise ProtocolViolation(f"message of the unknown type 0x{plaintext[0]:02x}")
    size, fixed = len(plaintext) - 1, kind.FIXED.size
    if size - fixed not in kind.REST:
        least, most = fixed + kind.REST[0], fixed + kind.REST[-1]
        expected = f"{least}" if least == most else f"{least} to {most}"
        raise ProtocolViolation(f"{kind.NAME} has a body of {size} bytes instead of {expected}")
    values = kind.FIXED.unpack_from(plaintext, 1)
    if range(1) == kind.REST:
        return kind.parse(*values)
    return kind.parse(*values, plaintext[1 + fixed :])


def displayable(text: str) -> str:
    """Return a text without control and format characters and without line separators."""
    return "".join(each for each in text if unicodedata.category(each) not in INVISIBLE)
