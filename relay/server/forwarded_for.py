"""Find the addresses of clients behind proxies, and report the first untrusted proxy."""

from __future__ import annotations

from collections.abc import Iterable

from ..limits.trusted_proxies import TrustedProxies
from ..protocol.request import Request


class Proxies:
    """The proxies in front of a relay.

    ``trusted`` is the setting ``trusted_proxies``. Raises ValueError if an entry is not valid.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        entries = tuple(trusted)
        self._trusted = TrustedProxies(entries)
        self._none_trusted = not entries
        self._reported = False

    def client_of(self, peer: str, request: Request) -> str:
        """Return the address of the client that sent a request.

        ``peer`` is the remote address of the connection, which may belong to a proxy.
        """
        return peer if self._none_trusted else self._trusted.resolve(peer, forwarded_for(request))

    def reports(self, peer: str, request: Request) -> bool:
        """Return True only for the first request that an untrusted proxy has forwarded.

        ``peer`` is the remote address of the connection.
        """
        if self._reported or not is_forwarded(request) or self._trusted.trusts(peer):
            return False
        self._reported = True
        return True


def forwarded_for(request: Request) -> str:
    """Return the value of the X-Forwarded-For header, which any client can spoof.

    Bytes that are not ASCII are replaced.
    """
    return request.headers.get(b"x-forwarded-for", b"").decode("ascii", "replace")


def is_forwarded(request: Request) -> bool:
    """Return True if the request has a header that proxies add to forwarded requests."""
    return b"x-forwarded-for" in request.headers or b"forwarded" in request.headers
