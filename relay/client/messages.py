"""Plaintext messages between endpoints: one byte, the type, and a body (docs/endpoints.md).

Pure. A message that breaks a rule is a `ProtocolViolation`. Its text quotes nothing of the message.
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
"""Maximum number of bytes of the stream in one message."""

MAX_TEXT: Final = 200
"""Maximum size of a text in bytes of UTF-8."""


INVISIBLE: Final = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories that could change the display of a text, or are no characters."""


class Reason(IntEnum):
    """Reason of REFUSED and ABORT. A peer of a later version may send others."""

    TARGET_UNREACHABLE = 1
    """The host cannot reach its target."""
    CLOSED = 2
    """The program of the peer ended or closed the session."""
    NO_FURTHER_GUEST = 3
    """The host serves no further guest."""
    PROTOCOL_VIOLATION = 4
    """The peer violated the protocol."""


class BaseMessage:
    """A message. This class encodes and decodes messages without a body."""

    __slots__ = ()
    TYPE: ClassVar[int]
    NAME: ClassVar[str]
    SIZES: ClassVar = range(1)
    """Permitted sizes of the body in bytes."""

    def encode(self) -> bytes:
        """Return the plaintext."""
        return bytes((self.TYPE,))

    @classmethod
    def from_body(cls, body: bytes) -> Self:  # noqa: ARG003 - subclasses use it
        """Return the message with a body of a permitted size; raise ProtocolViolation."""
        return cls()


@dataclass(frozen=True, slots=True)
class Request(BaseMessage):
    """A guest asks for a session."""

    TYPE = 0x01
    NAME = "REQUEST"


@dataclass(frozen=True, slots=True)
class NewSession(BaseMessage):
    """The host opens a session. The ``repr`` shows neither code nor key."""

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
    """A reason, and a text for people."""

    SIZES = range(1, 1 + MAX_TEXT + 1)
    reason: int
    """A `Reason`, or another number from 0 to 255."""
    text: str = ""

    def encode(self) -> bytes:
        """Return the plaintext, with the text in the form of `displayable`, cut to `MAX_TEXT`."""
        cut = displayable(self.text).encode()[:MAX_TEXT]
        text = cut.decode(errors="ignore")  # without a character that the cut divides
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
    """The host opens no session."""

    TYPE = 0x03
    NAME = "REFUSED"


@dataclass(frozen=True, slots=True)
class Resume(BaseMessage):
    """An endpoint says where the streams of the session go on."""

    TYPE = 0x10
    NAME = "RESUME"
    SIZES = range(12, 13)
    received: int
    """Number of received bytes of the peer's stream, 0 to 2^64 - 1. Its end counts as one."""
    window: int
    """Bytes that this endpoint buffers beyond the consumed ones, 1 to 2^32 - 1."""

    def encode(self) -> bytes:
        return bytes((self.TYPE,)) + self.received.to_bytes(8) + self.window.to_bytes(4)

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        if not any(body[8:]):
            raise ProtocolViolation("the window of RESUME is 0")
        return cls(int.from_bytes(body[:8]), int.from_bytes(body[8:]))


@dataclass(frozen=True, slots=True)
class Data(BaseMessage):
    """The next bytes of the stream. The ``repr`` does not show them."""

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
    """The stream has ended."""

    TYPE = 0x12
    NAME = "END"


@dataclass(frozen=True, slots=True)
class Ack(BaseMessage):
    """An endpoint acknowledges everything before a position of the peer's stream."""

    TYPE = 0x13
    NAME = "ACK"
    SIZES = range(8, 9)
    received: int
    """Number of acknowledged bytes, 0 to 2^64 - 1. The end of the stream counts as one."""

    def encode(self) -> bytes:
        return bytes((self.TYPE,)) + self.received.to_bytes(8)

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        return cls(int.from_bytes(body))


@dataclass(frozen=True, slots=True)
class Ping(BaseMessage):
    """An endpoint asks for PONG."""

    TYPE = 0x14
    NAME = "PING"


@dataclass(frozen=True, slots=True)
class Pong(BaseMessage):
    """Answer to PING."""

    TYPE = 0x15
    NAME = "PONG"


@dataclass(frozen=True, slots=True)
class Finished(BaseMessage):
    """Both streams have ended for this endpoint: the peer's is received, its own acknowledged."""

    TYPE = 0x16
    NAME = "FINISHED"


@dataclass(frozen=True, slots=True)
class Abort(ReasonMessage):
    """An endpoint ends the session at once."""

    TYPE = 0x17
    NAME = "ABORT"


Message = (
    Request | NewSession | Refusal | Resume | Data | End | Ack | Ping | Pong | Finished | Abort
)

CLASSES: Final[dict[int, type[Message]]] = {each.TYPE: each for each in get_args(Message)}
"""Class of each type."""


def decode(plaintext: bytes) -> Message:
    """Return the message in a plaintext; raise ProtocolViolation if it is malformed."""
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
