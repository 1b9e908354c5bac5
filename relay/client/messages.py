"""Plaintext of messages between endpoints (docs/endpoints.md): a byte for the type, and a body.

Pure. A malformed message raises `ProtocolViolation`. The exception quotes no part of the message.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Final, Self, get_args

from . import codes
from .errors import ProtocolViolation
from .noise import MAX_PLAINTEXT

MAX_DATA: Final = MAX_PLAINTEXT - 1
"""Maximum number of stream bytes in one message."""

MAX_TEXT: Final = 200
"""Maximum size, in bytes of UTF-8, of the text in a message."""


INVISIBLE: Final = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories of characters that can change the display of a text, and of surrogates."""


class Reason(IntEnum):
    """Reason in REFUSED and ABORT. A peer of a later version may send other numbers."""

    TARGET_UNREACHABLE = 1
    """The host cannot reach its target."""
    CLOSED = 2
    """The program of the sender ended or closed the session."""
    NO_FURTHER_GUEST = 3
    """The host serves no further guests."""
    PROTOCOL_VIOLATION = 4
    """The receiver of this message violated the protocol."""


class BaseMessage:
    """Base class of messages. It encodes and decodes messages without a body."""

    __slots__ = ()
    TYPE: ClassVar[int]
    NAME: ClassVar[str]
    SIZES: ClassVar = range(1)
    """Permitted sizes of the body, in bytes."""

    def encode(self) -> bytes:
        """Return the message in plaintext."""
        return bytes((self.TYPE,))

    @classmethod
    def from_body(cls, body: bytes) -> Self:  # noqa: ARG003 - subclasses use it
        """Decode a body whose size is permitted. Raises ProtocolViolation if it is malformed."""
        return cls()


@dataclass(frozen=True, slots=True)
class Request(BaseMessage):
    """Request of a guest for a session."""

    TYPE = 0x01
    NAME = "REQUEST"


@dataclass(frozen=True, slots=True)
class NewSession(BaseMessage):
    """Answer of a host that opens a session. The ``repr`` shows neither the code nor the key."""

    TYPE = 0x02
    NAME = "SESSION"
    SIZES = range(54, 55)
    code: str = field(repr=False)
    """Session code: `codes.CODE_LENGTH` characters."""
    key: bytes = field(repr=False)
    """Session key: `codes.KEY_SIZE` bytes."""

    def encode(self) -> bytes:
        return bytes((self.TYPE,)) + self.code.encode() + self.key

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        try:
            code = body[: codes.CODE_LENGTH].decode()
            codes.decode(code, codes.CODE_SIZE)
        except ValueError:
            raise ProtocolViolation("the code of SESSION is not valid") from None
        return cls(code, body[codes.CODE_LENGTH :])


@dataclass(frozen=True, slots=True)
class ReasonMessage(BaseMessage):
    """Message with a reason, and a text for the user."""

    SIZES = range(1, 1 + MAX_TEXT + 1)
    reason: int
    """A `Reason`, or another number from 0 to 255."""
    text: str = ""

    def encode(self) -> bytes:
        """Return the message in plaintext. Its text is made `displayable` and cut to `MAX_TEXT`."""
        cut = displayable(self.text).encode()[:MAX_TEXT]
        text = cut.decode(errors="ignore")  # omit a character that was cut in two
        return bytes((self.TYPE, self.reason)) + text.encode()

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        try:
            text = body[1:].decode()
        except UnicodeDecodeError:
            raise ProtocolViolation(f"the text of {cls.NAME} is not UTF-8") from None
        return cls(body[0], displayable(text))


@dataclass(frozen=True, slots=True)
class Refusal(ReasonMessage):
    """Answer of a host that opens no session."""

    TYPE = 0x03
    NAME = "REFUSED"


@dataclass(frozen=True, slots=True)
class Resume(BaseMessage):
    """First message of each endpoint in a session connection, with the state of its `Inbox`."""

    TYPE = 0x10
    NAME = "RESUME"
    SIZES = range(12, 13)
    received: int
    """Number of bytes received, 0 to 2^64 - 1. The end of the peer's stream counts as one byte."""
    window: int
    """Number of bytes that this endpoint buffers for its program, 1 to 2^32 - 1."""

    def encode(self) -> bytes:
        return bytes((self.TYPE,)) + self.received.to_bytes(8) + self.window.to_bytes(4)

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        if not any(body[8:]):
            raise ProtocolViolation("the window of RESUME is 0")
        return cls(int.from_bytes(body[:8]), int.from_bytes(body[8:]))


@dataclass(frozen=True, slots=True)
class Data(BaseMessage):
    """Next bytes of the stream. The ``repr`` does not show the bytes."""

    TYPE = 0x11
    NAME = "DATA"
    SIZES = range(1, MAX_DATA + 1)
    data: bytes = field(repr=False)
    """1 to `MAX_DATA` bytes."""

    def encode(self) -> bytes:
        return b"\x11" + self.data

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        return cls(body)


@dataclass(frozen=True, slots=True)
class End(BaseMessage):
    """End of the stream."""

    TYPE = 0x12
    NAME = "END"


@dataclass(frozen=True, slots=True)
class Ack(BaseMessage):
    """Acknowledgement of all bytes before a position of the peer's stream."""

    TYPE = 0x13
    NAME = "ACK"
    SIZES = range(8, 9)
    received: int
    """Number of acknowledged bytes, 0 to 2^64 - 1. The end of the stream counts as one byte."""

    def encode(self) -> bytes:
        return bytes((self.TYPE,)) + self.received.to_bytes(8)

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        return cls(int.from_bytes(body))


@dataclass(frozen=True, slots=True)
class Ping(BaseMessage):
    """Request for PONG."""

    TYPE = 0x14
    NAME = "PING"


@dataclass(frozen=True, slots=True)
class Pong(BaseMessage):
    """Answer to PING."""

    TYPE = 0x15
    NAME = "PONG"


@dataclass(frozen=True, slots=True)
class Finished(BaseMessage):
    """Report that the sender has received the peer's END, and an ACK for its own END."""

    TYPE = 0x16
    NAME = "FINISHED"


@dataclass(frozen=True, slots=True)
class Abort(ReasonMessage):
    """Immediate end of the session."""

    TYPE = 0x17
    NAME = "ABORT"


Message = (
    Request | NewSession | Refusal | Resume | Data | End | Ack | Ping | Pong | Finished | Abort
)

CLASSES: Final[dict[int, type[Message]]] = {each.TYPE: each for each in get_args(Message)}
"""Class for each message type."""


def decode(plaintext: bytes) -> Message:
    """Decode a message in plaintext. Raises ProtocolViolation if it is malformed."""
    if not plaintext:
        raise ProtocolViolation("message without a type")
    kind = CLASSES.get(plaintext[0])
    if kind is None:
        raise ProtocolViolation(f"message of the unknown type 0x{plaintext[0]:02x}")
    body = plaintext[1:]
    if len(body) not in kind.SIZES:
        least, most = kind.SIZES[0], kind.SIZES[-1]
        expected = f"{least}" if least == most else f"{least} to {most}"
        raise ProtocolViolation(
            f"{kind.NAME} has a body of {len(body)} bytes instead of {expected}"
        )
    return kind.from_body(body)


def displayable(text: str) -> str:
    """Return a text without control and format characters and without line separators."""
    return "".join(each for each in text if unicodedata.category(each) not in INVISIBLE)
