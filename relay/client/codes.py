"""Codes and keys as text: base64url without padding (RFC 4648 section 5), in its canonical form."""

from __future__ import annotations

import base64
import re
import secrets
from typing import Final

CODE_SIZE: Final = 16
"""Number of random bytes in a code."""

CODE_LENGTH: Final = 22
"""Number of characters in a code that an endpoint generates."""

KEY_SIZE: Final = 32
"""Size, in bytes, of a link key or a session key."""

KEY_LENGTH: Final = 43
"""Number of characters in the text form of a key."""

BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")


def new_code() -> str:
    """Return a random pair code."""
    return encode(secrets.token_bytes(CODE_SIZE))


def new_key() -> bytes:
    """Return a random key."""
    return secrets.token_bytes(KEY_SIZE)


def encode(data: bytes) -> str:
    """Encode bytes as base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode(text: str, size: int) -> bytes:
    """Decode the canonical base64url form of ``size`` bytes.

    Raises ValueError for any other text. The message, such as "is missing", has no subject, so that
    the caller can put a noun before it.
    """
    length = (size * 4 + 2) // 3
    if not text:
        raise ValueError("is missing")
    if BASE64URL.fullmatch(text) is None:
        raise ValueError("has a character that is not a letter, a digit, - or _")
    if len(text) != length:
        raise ValueError(f"has {len(text)} characters instead of {length}")
    data = base64.urlsafe_b64decode(text + "=" * (-length % 4))
    if encode(data) != text:
        raise ValueError("has a wrong last character")
    return data
