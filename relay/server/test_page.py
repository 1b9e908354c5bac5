"""Load the page at /test, with which users test connections of their browser through the relay.

The folder web/ contains the sources of the page. They are combined into one response, so that the
page needs no other request, and works behind a proxy that maps a path prefix to the relay.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from ..protocol.page import html_response, source_hash
from ..protocol.response import Response
from ..settings import RelaySettings

PATHS: Final = (b"/test", b"/test/")

SCRIPTS: Final = ("qr_code.js", "side.js", "hints.js", "steps.js", "test.js")
"""Files of the script in the page, in the order in which they are joined."""


def load_test_page(settings: RelaySettings) -> dict[bytes, Response]:
    """Read the files of the page. Return the response with the page for each of its paths.

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
