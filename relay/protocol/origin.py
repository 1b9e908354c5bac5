"""Parse and compare the origins of web pages.

Pure. When a page opens a WebSocket, the browser sends the origin of the page in the header Origin.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from ipaddress import IPv6Address
from typing import Final

FILE: Final = "file://"
"""Origin that a WebView sends for a page loaded from the app's own files."""

ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?"
)
MAX_PORT: Final = 65535
DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
SCHEME: Final = re.compile(r"(https?|wss?)://")
MAX_LENGTH: Final = 512
"""Maximum length, in characters, of Origin or Host. A host name has at most 253 characters."""
AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^:/@\s\[\]]+)(?::(?P<port>[0-9]{1,5}))?")


def parse_origin(text: str) -> str:
    """Return an entry of ``allowed_origins`` in normal form; raise ValueError if it is invalid."""
    text = text.lower()
    if text in {"null", FILE}:
        return text
    found = ORIGIN.fullmatch(text)
    if found is None or (port := int(found["port"] or 0)) > MAX_PORT:
        raise ValueError
    host = found["host"]
    if host.startswith("["):
        host = f"[{IPv6Address(host[1:-1])}]"
    return normalize_origin(f"{found['scheme']}://{host}" + (f":{port}" if found["port"] else ""))


def normalize_origin(text: str) -> str:
    """Return an origin in the form that browsers send.

    The result is in lower case, without the default port of http or https (RFC 6454 section 6.2)
    and without the final slash that users sometimes add.
    """
    origin = text.strip().lower()
    if not origin.endswith("://"):
        origin = origin.removesuffix("/")
    for scheme in ("http", "https"):
        if origin.startswith(f"{scheme}://"):
            return origin.removesuffix(f":{DEFAULT_PORTS[scheme]}")
    return origin


def is_allowed(origin: str, host: str, allowed: AbstractSet[str]) -> bool:
    """Return True if a page from this origin may connect.

    ``host`` is the header Host of the request. The origins in ``allowed`` must be normalized with
    `normalize_origin`. The relay's own origin is always allowed, because apps without a web page,
    such as React Native apps on Android, derive the Origin from the URL of the relay.
    """
    return normalize_origin(origin) in allowed or is_own(origin, host)


def is_own(origin: str, host: str) -> bool:
    """Return True if an origin and the header Host name the same host and port.

    If Host has no port, the default port of the origin's scheme is assumed, because a relay behind
    a TLS proxy does not know the scheme that the client used.
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
