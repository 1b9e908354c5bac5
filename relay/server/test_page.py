"""Load the page at /test, which lets users test connections from their browser through the relay.

The sources of the page, in the folder web/, are combined into one response. So the page needs no
further requests, and works behind a proxy that maps a path prefix to the relay.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from ..protocol.page import html_response, source_hash
from ..protocol.response import Response
from ..settings import RelaySettings

PATHS: Final = (b"/test", b"/test/")

SCRIPTS: Final = ("qr_code.js", "side.js", "hints.js", "steps.js", "test.js")
"""Files that are joined, in this order, into the script of the page."""


def load_test_page(settings: RelaySettings) -> dict[bytes, Response]:
    """Build the page from its files. Return a response with the page for each path in `PATHS`.

    The page asks the user for the token if the settings name a token file. Raises OSError if a file
    cannot be read.
    """
    web = files(__package__) / "web"
    script = "\n".join((web / name).read_text(encoding="utf-8") for name in SCRIPTS)
    html, style = ((web / name).read_text(encoding="utf-8") for name in ("test.html", "test.css"))
    html = html.replace("/* style */", style).replace("/* script */", script)
    if settings.token_file:
        html = html.replace('data-token="no"', 'data-token="yes"')
    policy = (
        f"default-src 'none'; script-src {source_hash(script)}; style-src {source_hash(style)};"
        " img-src data:; connect-src 'self'; require-trusted-types-for 'script';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return dict.fromkeys(PATHS, html_response(html, policy))
