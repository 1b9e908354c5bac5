"""Which web page a browser connects from.

Pure.
"""

from __future__ import annotations

from typing import Final

__all__ = ["normal_origin"]

DEFAULT_PORTS: Final = {"http://": ":80", "https://": ":443"}


def normal_origin(text: str) -> str:
    """Return an origin as a browser sends it, so that two of them can be compared.

    That is in lower case, without the default port of its scheme (RFC 6454 section 6.2), and
    without a final slash, which people add. What is no origin comes out as it is but for that.
    """
    origin = text.strip().lower().removesuffix("/")
    for scheme, port in DEFAULT_PORTS.items():
        if origin.startswith(scheme):
            return origin.removesuffix(port)
    return origin
