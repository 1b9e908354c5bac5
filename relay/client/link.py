"""The link that gives a guest access to a host: URL of the relay, link code and link key.

Pure, except that `Link.new` generates a random code and a random key. The host trusts everyone who
has the link. The ``repr`` of a link shows only the URL without the query.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from . import codes
from .errors import InvalidLink

SCHEMES: Final = {"wss": "wss", "ws": "ws", "https": "wss", "http": "ws"}
"""WebSocket scheme for each scheme that a relay URL may have."""

MAX_CODE: Final = 256
"""Maximum length, in characters, of a pair code. The relay has the same limit."""

MAX_LINK: Final = 8192
"""Maximum length, in characters, of a link. A relay accepts request heads of twice this size."""

HOST: Final = re.compile(r"[a-z0-9._-]+|\[[^]]+\]")
"""Syntax of a host: a name in ASCII form, an IPv4 address, or an IPv6 address in brackets."""

EXAMPLE: Final = "wss://relay.example/?pair=CODE#k=KEY"


@dataclass(frozen=True, slots=True, repr=False)
class Link:
    """Link that gives a guest access to a host.

    Args:
        url: URL of the relay without pair code and fragment, such as ``wss://relay.example/``.
        code: Link code, 1 to 256 characters.
        key: Link key, 32 bytes.

    Raises:
        InvalidLink: An argument is not valid. The message does not quote it.
    """

    url: str
    code: str
    key: bytes

    def __post_init__(self) -> None:
        url = split(self.url, "relay URL", ("wss", "ws"))
        if url.pairs or url.without_pairs != self.url:
            raise InvalidLink(
                "relay URL must be like wss://relay.example/, without pair code and fragment"
            )
        require_code(self.code)
        if len(self.key) != codes.KEY_SIZE:
            raise InvalidLink(f"key of a link must have {codes.KEY_SIZE} bytes")

    @classmethod
    def parse(cls, text: str) -> Link:
        """Parse a link. White space before and after the link is ignored.

        Raises:
            InvalidLink: The text is not a link. The message gives the reason, but no secret.
        """
        address, separator, fragment = text.strip().partition("#")
        url = split(address, "link", ("wss", "ws"))
        require_visible(fragment, "link")
        if len(url.pairs) != 1:
            number = "more than one" if url.pairs else "no"
            raise InvalidLink(f"link has {number} pair code: it must be like {EXAMPLE}")
        code = decode_code(url.pairs[0])
        if not separator:
            raise InvalidLink(f"link has no key: it must be like {EXAMPLE}")
        if not fragment.startswith("k="):
            raise InvalidLink("link must have k=KEY, and nothing else, after the #")
        try:
            key = codes.decode(fragment.removeprefix("k="), codes.KEY_SIZE)
        except ValueError as error:
            raise InvalidLink(f"key of the link {error}: copy the whole link again") from None
        return cls(url.without_pairs, code, key)

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
        parts = split(url.strip(), "relay URL", SCHEMES)
        if parts.pairs:
            raise InvalidLink("relay URL must not have a pair code: a new link gets a new one")
        if any(name_of(item) == "token" for item in parts.others):
            raise InvalidLink("relay URL must not have a token: every guest would get it")
        return cls(parts.without_pairs, codes.new_code(), codes.new_key())

    @property
    def text(self) -> str:
        """Text of the link. The text is a secret."""
        return f"{self.request_url(self.code)}#k={codes.encode(self.key)}"

    def request_url(self, code: str) -> str:
        """Return the URL for a connection with a link code or session code. The URL is a secret."""
        base, _, query = self.url.partition("?")
        return f"{base}?pair={quote(code, safe='')}{'&' if query else ''}{query}"

    def __repr__(self) -> str:
        return f"<Link {self.url.partition('?')[0]}>"


class RelayUrl(NamedTuple):
    """Parts of a normalized URL without fragment."""

    base: str
    """Scheme, authority and path."""
    pairs: list[str]
    """Values of the ``pair`` parameters, still percent-encoded."""
    others: list[str]
    """Query parameters other than ``pair``, still percent-encoded."""

    @property
    def without_pairs(self) -> str:
        """URL without its ``pair`` parameters."""
        return f"{self.base}?{'&'.join(self.others)}" if self.others else self.base


def split(text: str, name: str, schemes: Iterable[str]) -> RelayUrl:
    """Split a URL into its parts, and normalize them.

    Raises InvalidLink if the URL is not valid. The message begins with ``name``, and quotes no part
    of the URL.
    """
    if len(text) > MAX_LINK:
        raise InvalidLink(f"{name} is longer than {MAX_LINK} characters")
    require_visible(text, name)
    try:
        parts = urlsplit(text)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
        if ":" in host:
            host = f"[{IPv6Address(host)}]"
    except ValueError:
        raise InvalidLink(f"{name} must have a valid host and port") from None
    if parts.scheme not in schemes:
        raise InvalidLink(f"{name} must begin with {' or '.join(f'{each}://' for each in schemes)}")
    if port == 0 or HOST.fullmatch(host) is None:
        raise InvalidLink(f"{name} must have a valid host and port")
    if parts.username is not None:
        raise InvalidLink(f"{name} must not have a user name or a password")
    authority = host if port is None else f"{host}:{port}"
    path, query = (quote(part, safe=string.punctuation) for part in (parts.path, parts.query))
    items = [item for item in query.split("&") if item]
    return RelayUrl(
        f"{SCHEMES[parts.scheme]}://{authority}{path or '/'}",
        [item.partition("=")[2] for item in items if name_of(item) == "pair"],
        [item for item in items if name_of(item) != "pair"],
    )


def require_visible(text: str, name: str) -> None:
    """Raise InvalidLink if a text has a space, a control character or a format character."""
    if not all(each.isprintable() and each != " " for each in text):
        raise InvalidLink(f"{name} has a space, a line break or an invisible character in it")


def name_of(item: str) -> str:
    """Decode the name of a query parameter as the relay does."""
    return unquote(item.partition("=")[0])


def decode_code(value: str) -> str:
    """Decode the value of a ``pair`` parameter as the relay does. Raises InvalidLink."""
    try:
        code = unquote_to_bytes(value.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise InvalidLink("pair code of the link is not UTF-8") from None
    require_code(code)
    return code


def require_code(code: str) -> None:
    """Raise InvalidLink unless the relay accepts the code."""
    if not 1 <= len(code) <= MAX_CODE:
        raise InvalidLink(f"pair code must have 1 to {MAX_CODE} characters")
    if any("\ud800" <= each <= "\udfff" for each in code):
        raise InvalidLink("pair code must not have surrogates, which UTF-8 cannot encode")
