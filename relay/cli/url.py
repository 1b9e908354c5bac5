"""Parse the URLs that the commands accept, and return targets for connections."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..client.dial import ConnectTarget, client_context
from ..client.url import is_loopback, parse_url
from ..daemon.settings import DaemonSettings

LOOPBACK_FOR: Final = {
    "*": ("127.0.0.1", "::1"),
    "0.0.0.0": ("127.0.0.1",),  # noqa: S104 - a key; nothing is bound to it
    "::": ("::1",),
}
"""Loopback addresses of a relay on this machine, keyed by the wildcard address of its listener."""


def local_target(settings: DaemonSettings) -> ConnectTarget:
    """Return the target for the relay on this machine that has these settings.

    The certificate of the relay is not verified, because it names this machine's public host name.
    """
    context = client_context(verify=False) if settings.tls_cert else None
    if not settings.tcp:
        return ConnectTarget(unix=settings.unix_socket, tls=context)
    addresses = LOOPBACK_FOR.get(settings.host, (settings.host,))
    return ConnectTarget(addresses, settings.port, tls=context)


def parse_target(text: str) -> ConnectTarget:
    """Return the target for requests to the relay at a URL; the default path is /health.

    The certificate is verified unless the host is a loopback address. The query of the URL is
    dropped. Raises ValueError like `parse_url`.
    """
    url = parse_url(text)
    context = client_context(verify=not is_loopback(url.host)) if url.tls else None
    target = url.target(context)
    return target if url.path == "/" else replace(target, path=url.path)
