"""Find the pair code and the token in the query of a request target.

Pure. The CPU time for a query is bounded, because the number of parameters and the length of each
decoded value are limited.
"""

from __future__ import annotations

import re
from itertools import product
from typing import Final

from .response import MAX_PARAMETERS

MAX_CODE: Final = 256
"""Maximum length, in characters, of a pair code."""

MAX_TOKEN: Final = 4096
"""Maximum length, in bytes, of a token before percent-decoding. No secret needs more."""

PARAMETERS: Final = frozenset((b"pair", b"token"))
MAX_ENCODED_NAME: Final = len("%70") * len("token")  # every character percent-encoded
MAX_ENCODED_CODE: Final = len("%70") * 4 * MAX_CODE  # UTF-8 has up to four bytes per character

ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
ESCAPED_BYTES: Final = {
    f"{high}{low}".encode(): bytes.fromhex(high + low)
    for high, low in product("0123456789ABCDEFabcdef", repeat=2)
}
"""Byte for each pair of hexadecimal digits."""
STRICT_CODE: Final = re.compile(r"[A-Za-z0-9._~-]+")
SEPARATORS: Final = re.compile(rb"[&;]")


def find_parameters(target: bytes) -> dict[bytes, bytes] | None:
    """Return the first value of each of the parameters ``pair`` and ``token``, percent-encoded.

    Return None if the query has more than `MAX_PARAMETERS` parameters.
    """
    query = target.partition(b"?")[2].partition(b"#")[0]
    items = query.split(b"&", MAX_PARAMETERS)
    if len(items) > MAX_PARAMETERS:
        return None
    found: dict[bytes, bytes] = {}
    for item in items:
        name, _, value = item.partition(b"=")
        if len(name) <= MAX_ENCODED_NAME and (name := unquote(name)) in PARAMETERS:
            found.setdefault(name, value)
    return found


def unquote(value: bytes) -> bytes:
    """Decode percent-encoding; keep percent signs that do not precede two hexadecimal digits."""
    return ESCAPE.sub(lambda escape: ESCAPED_BYTES[escape[1]], value) if b"%" in value else value


def decode_code(value: bytes | None) -> str | None:
    """Decode the value of a ``pair`` parameter; return None if it is missing or invalid."""
    if value is None or len(value) > MAX_ENCODED_CODE:
        return None
    try:
        code = unquote(value.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        return None
    return code if 0 < len(code) <= MAX_CODE else None


def decode_token(value: bytes | None) -> bytes | None:
    """Decode the value of a ``token`` parameter; return None if it is missing or empty.

    A value longer than `MAX_TOKEN` becomes an empty token, which no relay accepts. A ``+`` is not
    decoded to a space, because a token may contain ``+`` but no space (RFC 6750 section 2.1).
    """
    if not value:
        return None
    return unquote(value) if len(value) <= MAX_TOKEN else b""


def is_strict_code(code: str, target: bytes) -> bool:
    """Return True if every parser finds the same pair code in a request target.

    A load balancer that chooses a relay by the code may parse the query differently from the relay.
    It may decode no percent-encoding, use the last of two ``pair`` parameters, end a parameter at a
    semicolon, or ignore the case of the parameter name.
    """
    items = SEPARATORS.split(target.partition(b"?")[2], MAX_PARAMETERS)
    if len(items) > MAX_PARAMETERS:
        return False
    pairs = [
        item
        for item in items
        if len(name := item.partition(b"=")[0]) <= MAX_ENCODED_NAME
        and unquote(name).lower() == b"pair"
    ]
    is_strict = STRICT_CODE.fullmatch(code) is not None and b"#" not in target
    return is_strict and pairs == [b"pair=" + code.encode()]
