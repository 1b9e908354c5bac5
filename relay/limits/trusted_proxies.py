"""Decide whether X-Forwarded-For is trusted, and resolve the client address behind trusted proxies.

Pure. A client can spoof X-Forwarded-For, so an address in this header counts only if a trusted
proxy appended it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .client_address import UNIX, ForwardedEntry, parse_forwarded_entry, parse_network

MAX_HOPS: Final = 32
"""Maximum number of X-Forwarded-For entries that are read, starting with the rightmost."""


class TrustedProxies:
    """The proxies whose X-Forwarded-For is trusted.

    Each entry is an address, a network such as 10.0.0.0/8, or `UNIX` for every peer on a Unix
    socket. An IPv4-mapped IPv6 address counts as the IPv4 address, in an entry and in
    X-Forwarded-For. Raises ValueError if an entry has none of these forms. The message quotes the
    entry.
    """

    __slots__ = ("_networks", "_none", "_reported", "_unix")

    def __init__(self, entries: Iterable[str] = ()) -> None:
        names = {entry.strip() for entry in entries}
        self._none = not names
        self._reported = False
        self._unix = UNIX in names
        self._networks = [parse_network(name) for name in names - {UNIX}]

    def resolve(self, peer: str, forwarded: str) -> str:
        """Return the address of the client behind a peer.

        ``peer`` is the remote address of the connection, or `UNIX`. ``forwarded`` is the complete
        value of X-Forwarded-For, in which each proxy appends the address of its own peer on the
        right. The method checks ``peer`` first, and then the entries from right to left. The first
        address that does not belong to a trusted proxy is the address of the client. If all of them
        belong to trusted proxies, the result is the leftmost address. At most `MAX_HOPS` entries
        are read.

        Entries left of the client's address may be spoofed, and are ignored. If an entry is not an
        address, for example "unknown" or empty, the trusted proxy that appended the entry counts as
        the client. So all clients with such entries share the rate-limit key of the proxy, and none
        of them can avoid the limits or spoof an address.

        An entry may have a port, brackets, quotes and a scope; the result has none of them. If
        ``peer`` is neither an address nor `UNIX`, it is not trusted, and is returned unchanged.
        Without trusted proxies, the result is always ``peer``.
        """
        if self._none:
            return peer
        nearest = parse_forwarded_entry(peer)
        if nearest is None:
            return peer
        for entry in reversed(forwarded.rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
            if not self._trusts(nearest):
                break
            further = parse_forwarded_entry(entry)
            if further is None:
                break
            nearest = further
        return str(nearest)

    def reports(self, peer: str) -> bool:
        """Return True only for the first request that an untrusted proxy has forwarded.

        ``peer`` is the remote address of the connection with the forwarded request.
        """
        proxy = parse_forwarded_entry(peer)
        if self._reported or (proxy is not None and self._trusts(proxy)):
            return False
        self._reported = True
        return True

    def _trusts(self, proxy: ForwardedEntry) -> bool:
        if proxy == UNIX:
            return self._unix
        return any(proxy in trusted for trusted in self._networks)


def parse_trusted_proxy(text: str) -> str:
    """Return an entry of ``trusted_proxies`` in normal form; raise ValueError if it is invalid."""
    text = text.lower()
    if text == UNIX:
        return text
    if "%" in text:  # an IPv6 zone is meaningful only on one machine
        raise ValueError
    found = parse_network(text)
    return str(found if "/" in text else found.network_address)
