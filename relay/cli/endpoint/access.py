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
    """Return the token in the file ``path``. If ``path`` is empty, return ARC_RELAY_CLIENT_TOKEN.

    Returns None if ``path`` is empty and the variable is not set. Raises ValueError if the token is
    not valid. The message names the option or the variable, and does not quote the token.
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
    """Return the TLS context for a relay URL. Raises ValueError if the options do not fit it."""
    return tls_context(parse_url(url), ca, insecure=insecure)
