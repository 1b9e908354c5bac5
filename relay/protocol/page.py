"""Page for a person who opens the address of the relay in a browser.

Pure. Only a request that prefers HTML to plain text gets the page. Other requests get the 404
response that programs expect. The page contains no data from the request, runs no script and loads
nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from .response import Response

STYLE: Final = """
:root { color-scheme: light dark }
body { font: 1.1rem/1.6 system-ui, sans-serif; max-width: 34rem }
body { margin: 15vh auto; padding: 0 1.5rem }
h1 { font-size: 1.5rem }
"""
"""Style sheet of the page. Its colours follow the light or dark mode of the browser."""

HTML: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>arc-relay</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>arc-relay</h1>
<p>This is a WebSocket relay, not a web site. It joins two programs that use the same pair code, and
forwards their encrypted messages without reading them.</p>
<p>If a link or a QR code led you here, open it in the app that it belongs to.</p>
<p>If you operate this relay, see its state at <a href="health">/health</a>.</p>
</main>
</body>
</html>
"""
"""HTML of the page. The empty icon prevents a request for /favicon.ico."""


def html_response(html: str, policy: str, *headers: tuple[str, str]) -> Response:
    """Return a response with a page; ``policy`` is the value of Content-Security-Policy."""
    return Response(
        HTTPStatus.OK,
        html,
        content_type="text/html; charset=utf-8",
        headers=(
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", policy),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            *headers,
        ),
    )


def source_hash(source: str) -> str:
    """Return the Content-Security-Policy expression that allows this inline style or script."""
    digest = hashlib.sha256(source.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


POLICY: Final = (
    f"default-src 'none'; style-src {source_hash(STYLE)}; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the page. It allows only the style sheet and the empty icon."""

PAGE: Final = html_response(HTML, POLICY, ("Vary", "Accept"))

HTML_TYPE: Final = b"text/html"
PLAIN_TYPES: Final = (b"text/plain", b"text/*", b"*/*")
"""Media ranges that include plain text, the most specific first (RFC 9110 section 12.5.1)."""


def prefers_html(accept: Iterable[bytes]) -> bool:
    """Return True if a request prefers HTML to plain text.

    Args:
        accept: Items of the header Accept, in lower case. The item ``*/*`` does not count as a
            preference for HTML, because many programs send it by default.
    """
    weights = dict(map(media_range, accept))
    plain = next((weights[name] for name in PLAIN_TYPES if name in weights), 0.0)
    return weights.get(HTML_TYPE, 0.0) > plain


def media_range(item: bytes) -> tuple[bytes, float]:
    """Return the media range and the weight of an Accept item; an invalid weight becomes 0."""
    name, *parameters = (part.strip() for part in item.split(b";"))
    weight = next((part[2:] for part in parameters if part.startswith(b"q=")), b"1")
    try:
        return name, float(weight)
    except ValueError:
        return name, 0.0
