"""Compare the origins of web pages.

Pure. In the header Origin, a browser sends the origin of the page that opens the connection.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from typing import Final

FILE: Final = "file://"
"""Origin that a WebView sends for a page from the files of its application."""

DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
SCHEME: Final = re.compile(r"(https?|wss?)://")
MAX_LENGTH: Final = 512
"""Maximum length of an Origin or a Host in characters. A host name has 253 at most."""
AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^:/@\s\[\]]+)(?::(?P<port>[0-9]{1,5}))?")


def normalize_origin(text: str) -> str:
    """Return an origin in the form in which browsers send it.

    The result is in lower case, without the default port of http and https (RFC 6454 section 6.2)
    and without a final slash, which users sometimes add. Text that is not an origin is converted to
    lower case only.
    """
    origin = text.strip().lower()
    if not origin.endswith("://"):
        origin = origin.removesuffix("/")
    for scheme in ("http", "https"):
        if origin.startswith(f"{scheme}://"):
            return origin.removesuffix(f":{DEFAULT_PORTS[scheme]}")
    return origin


def is_allowed(origin: str, host: str, allowed: AbstractSet[str]) -> bool:
    """Return True if a page of this origin may connect.

    ``allowed`` has origins in the form of `normalize_origin`; ``host`` is the Host field of the
    request. The relay's own origin is always allowed, because applications without a page, such as
    React Native on Android, derive the Origin from the URL of the relay.
    """
    return normalize_origin(origin) in allowed or is_own(origin, host)


def is_own(origin: str, host: str) -> bool:
    """Return True if an origin and the Host field of the request have the same host and port.

    A Host without a port has the default port of the origin's scheme, because behind a TLS proxy
    the relay does not know the scheme that the client used.
    """
    if max(len(origin), len(host)) > MAX_LENGTH:
        return False
    scheme = SCHEME.match(origin := origin.lower())
    if scheme is None:
        return False
    page = AUTHORITY.fullmatch(origin, scheme.end())
    relay = AUTHORITY.fullmatch(host.lower())
    if page is None or relay is None or page["host"] != relay["host"]:
        return False
    default = DEFAULT_PORTS[scheme[1]]
    return int(page["port"] or default) == int(relay["port"] or default)
