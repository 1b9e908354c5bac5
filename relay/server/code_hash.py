"""Keyed hash that identifies a pair code in events and responses without revealing the code."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

KEY_SIZE: Final = 16
"""Size, in bytes, of the key."""

HASH_SIZE: Final = 5
"""Size, in bytes, of a hash. With 1,000 codes, the probability of a collision is 1 in 2 million."""


class CodeHash:
    """Hash of a pair code, with a random key that exists only in this object.

    Without the key, a hash reveals nothing about its code.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(KEY_SIZE)

    def __call__(self, code: str) -> str:
        """Return the hash of a code, in hexadecimal digits."""
        return hashlib.blake2s(code.encode(), key=self._key, digest_size=HASH_SIZE).hexdigest()
