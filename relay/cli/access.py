"""Access to the relay: the token of the host, and the TLS context."""

from __future__ import annotations

import os
import ssl

from ...client.url import parse_url
from ...daemon.errors import start_problem
from ...server.token_file import is_token, read_token
from ..probe.command import tls_context
from .variables import TOKEN


def find_token(path: str) -> str | None:
    """Return the token in a file, or else that of the variable; None if there is none.

    Raises ValueError if the token cannot be used. The message names the option or the variable, and
    does not quote the token.
    """
    if path:
        try:
            return read_token(path).decode()
        except (OSError, ValueError) as error:
            raise ValueError(start_problem(error, "--token-file")) from None
    token = os.environ.get(TOKEN)
    if token and not is_token(os.fsencode(token)):
        raise ValueError(f"{TOKEN} must be visible ASCII characters")
    return token or None


def context_for(url: str, ca: str, *, insecure: bool) -> ssl.SSLContext | None:
    """Return the TLS context for the URL of a relay; raise ValueError if the options are wrong."""
    return tls_context(parse_url(url), ca, insecure=insecure)
