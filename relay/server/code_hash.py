"""Keyed hash that identifies a pair code in events and responses without revealing the code."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

KEY_SIZE: Final = 16
"""Size of the key, in bytes."""

HASH_SIZE: Final = 5
"""Size of a hash, in bytes. With 1,000 codes, the probability of a collision is 1 in 2 million."""


class CodeHash:
    """Keyed hash function for pair codes. The key is random, and exists only in this object.

    Without the key, nobody can check a guess of the code against a hash.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(KEY_SIZE)

    def __call__(self, code: str) -> str:
        """Return the hash of a code, in hexadecimal digits."""
        return hashlib.blake2s(code.encode(), key=self._key, digest_size=HASH_SIZE).hexdigest()
