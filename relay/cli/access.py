"""Read the options that give a command access to a relay: the token and the TLS context."""

from __future__ import annotations

import os
import ssl

from ..client.dial import client_context
from ..client.url import Url
from ..daemon.errors import os_error_text, start_problem
from ..server.token_file import is_token, read_token


def find_token(path: str, variable: str) -> str | None:
    """Return the token in the file ``path``, or in an environment variable if ``path`` is empty.

    Return None if ``path`` is empty and the variable is not set. Raises ValueError if the file
    cannot be read or the token is not valid. The message names the option or the variable, and does
    not quote the token.
    """
    if path:
        try:
            return read_token(path).decode()
        except (OSError, ValueError) as error:
            raise ValueError(start_problem(error, "--token-file")) from None
    return require_token(os.environ.get(variable, ""), variable) or None


def require_token(text: str, name: str) -> str:
    """Return ``text`` if it is a valid token or empty; otherwise raise ValueError.

    The error message begins with ``name``, the option or variable that the token comes from.
    """
    if text and not is_token(os.fsencode(text)):
        raise ValueError(f"{name} must be visible ASCII characters")
    return text


def tls_context(url: Url, ca: str, *, insecure: bool) -> ssl.SSLContext | None:
    """Return the TLS context for a URL; None if the URL does not use TLS.

    Raises ValueError if the options do not fit the URL, or if the file ``ca`` cannot be used.
    """
    if not url.tls and (ca or insecure):
        raise ValueError(f"{'--ca' if ca else '--insecure'} must be left out without wss://")
    if ca and insecure:
        raise ValueError("--ca must be left out with --insecure")
    if not url.tls:
        return None
    try:
        return client_context(verify=not insecure, ca=ca or None)
    except ssl.SSLError:
        raise ValueError(f"--ca {ca!r} holds no certificate in PEM form") from None
    except OSError as error:
        raise ValueError(f"cannot read --ca {ca!r}: {os_error_text(error)}") from None
