"""Keyed hash by which events and responses name a pair code without revealing it."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

KEY_SIZE: Final = 16
"""Size of the key in bytes."""

HASH_SIZE: Final = 5
"""Size of a hash in bytes. Among 1,000 codes, two have the same hash once in 2 million cases."""


class CodeHash:
    """Hash of a pair code, with a random key that exists only in this object.

    Without the key, a hash reveals nothing about its code.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(KEY_SIZE)

    def __call__(self, code: str) -> str:
        """Return the hash of a code in hexadecimal digits."""
        return hashlib.blake2s(code.encode(), key=self._key, digest_size=HASH_SIZE).hexdigest()
