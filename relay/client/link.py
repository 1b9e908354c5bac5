"""The link that gives a guest access to a host: URL of the relay, link code and link key.

Pure, except for random codes and keys. The host trusts everyone who has the link. The ``repr`` of a
link shows only the URL without the query.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, unquote_to_bytes

from .errors import InvalidLink
from .url import SCHEMES, parse_url

CODE_SIZE: Final = 16  # number of random bytes in a code that an endpoint generates
KEY_SIZE: Final = 32  # size, in bytes, of a link key or a session key
MAX_CODE: Final = 256  # maximum length, in characters, of a pair code; the relay has the same
MAX_LINK: Final = 8192  # characters; a relay accepts request heads of twice this size
EXAMPLE: Final = "wss://relay.example/?pair=CODE#k=KEY"


@dataclass(frozen=True, slots=True, repr=False)
class Link:
    """Link that gives a guest access to a host.

    Args:
        url: URL of the relay without default port, pair code and fragment, such as
            ``wss://relay.example/``. `Link.new` also accepts other forms.
        code: Link code, 1 to 256 characters.
        key: Link key, 32 bytes.

    Raises:
        InvalidLink: An argument is not valid. The message does not quote it.
    """

    url: str
    code: str
    key: bytes

    def __post_init__(self) -> None:
        if parse_relay_url(self.url, "relay URL") != (self.url, []):
            raise InvalidLink(
                "relay URL must be like wss://relay.example/, without default port, pair code and"
                " fragment"
            )
        if not 1 <= len(self.code) <= MAX_CODE:
            raise InvalidLink(f"pair code must have 1 to {MAX_CODE} characters")
        if any("\ud800" <= each <= "\udfff" for each in self.code):
            raise InvalidLink("pair code must not have surrogates, which UTF-8 cannot encode")
        if len(self.key) != KEY_SIZE:
            raise InvalidLink(f"key of a link must have {KEY_SIZE} bytes")

    @classmethod
    def parse(cls, text: str) -> Link:
        """Parse a link. White space before and after the link is ignored.

        Raises:
            InvalidLink: The text is not a link. The message gives the reason, but no secret.
        """
        address, separator, fragment = text.strip().partition("#")
        url, pairs = parse_relay_url(address, "link")
        require_visible(fragment, "link")
        if len(pairs) != 1:
            number = "more than one" if pairs else "no"
            raise InvalidLink(f"link has {number} pair code: it must be like {EXAMPLE}")
        if not separator:
            raise InvalidLink(f"link has no key: it must be like {EXAMPLE}")
        if not fragment.startswith("k="):
            raise InvalidLink("link must have k=KEY, and nothing else, after the #")
        try:  # decode the code as the relay does
            code = unquote_to_bytes(pairs[0].replace("+", " ")).decode()
        except UnicodeDecodeError:
            raise InvalidLink("pair code of the link is not UTF-8") from None
        try:
            key = decode_base64url(fragment.removeprefix("k="), KEY_SIZE)
        except ValueError as error:
            raise InvalidLink(f"key of the link {error}: copy the whole link again") from None
        return cls(url, code, key)

    @classmethod
    def new(cls, url: str) -> Link:
        """Return a link with a new code and a new key.

        Args:
            url: URL of the relay, with the scheme ``wss``, ``ws``, ``https`` or ``http``. The link
                keeps the path and the query.

        Raises:
            InvalidLink: The URL is not valid. The message gives the reason, but no secret.
        """
        if "#" in url:
            raise InvalidLink("relay URL must not have a fragment: leave out the # and all after")
        url, pairs = parse_relay_url(url.strip(), "relay URL", SCHEMES)
        if pairs:
            raise InvalidLink("relay URL must not have a pair code: a new link gets a new one")
        if any(name_of(item) == "token" for item in url.partition("?")[2].split("&")):
            raise InvalidLink("relay URL must not have a token: every guest would get it")
        return cls(url, new_code(), secrets.token_bytes(KEY_SIZE))

    @property
    def text(self) -> str:
        """Text of the link. The text is a secret."""
        return f"{self.request_url(self.code)}#k={encode_base64url(self.key)}"

    def request_url(self, code: str) -> str:
        """Return the URL for a connection with a link code or session code. The URL is a secret."""
        base, _, query = self.url.partition("?")
        return f"{base}?pair={quote(code, safe='')}{'&' if query else ''}{query}"

    def __repr__(self) -> str:
        return f"<Link {self.url.partition('?')[0]}>"


def parse_relay_url(
    text: str, name: str, schemes: Sequence[str] = SCHEMES[:2]
) -> tuple[str, list[str]]:
    """Return a normalized URL without its ``pair`` parameters, and the values of these parameters.

    Raises InvalidLink if the URL is not valid. The message begins with ``name``, and quotes no part
    of the URL.
    """
    if len(text) > MAX_LINK:
        raise InvalidLink(f"{name} is longer than {MAX_LINK} characters")
    require_visible(text, name)
    try:
        url = parse_url(text, name, schemes)
    except ValueError as error:
        raise InvalidLink(str(error)) from None
    items = [item for item in url.query.split("&") if item]
    pairs = [item.partition("=")[2] for item in items if name_of(item) == "pair"]
    others = "&".join(item for item in items if name_of(item) != "pair")
    return f"{url}?{others}" if others else str(url), pairs


def require_visible(text: str, name: str) -> None:
    """Raise InvalidLink if a text has a space, a control character or a format character."""
    if not all(each.isprintable() and each != " " for each in text):
        raise InvalidLink(f"{name} has a space, a line break or an invisible character in it")


def name_of(item: str) -> str:
    """Decode the name of a query parameter as the relay does."""
    return unquote(item.partition("=")[0])


def new_code() -> str:
    """Return a random pair code."""
    return encode_base64url(secrets.token_bytes(CODE_SIZE))


def encode_base64url(data: bytes) -> str:
    """Encode bytes as base64url without padding (RFC 4648 section 5)."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode_base64url(text: str, size: int) -> bytes:
    """Decode the canonical base64url form of ``size`` bytes.

    Raises ValueError for any other text. The message, such as "is missing", has no subject, so that
    the caller can put a noun before it.
    """
    length = (size * 4 + 2) // 3
    if not text:
        raise ValueError("is missing")
    if re.fullmatch(r"[A-Za-z0-9_-]*", text) is None:
        raise ValueError("has a character that is not a letter, a digit, - or _")
    if len(text) != length:
        raise ValueError(f"has {len(text)} characters instead of {length}")
    data = base64.urlsafe_b64decode(text + "=" * (-length % 4))
    if encode_base64url(data) != text:
        raise ValueError("has a wrong last character")
    return data
