"""Resolve client addresses behind trusted proxies, derive rate-limit keys, redact addresses.

Pure. A client can spoof X-Forwarded-For, so an address in it counts only if a trusted proxy
appended the address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, Literal

UNIX: Final = "unix"
"""Address of every peer on a Unix socket."""

MAPPED: Final = IPv6Network("::ffff:0:0/96")  # IPv4 in IPv6, RFC 4291 section 2.5.5.2
NAT64: Final = IPv6Network("64:ff9b::/96")
"""Prefix of the IPv6 addresses that NAT64 gives to IPv4 clients (RFC 6052 section 2.1)."""
COUNTED_BITS: Final = 64
"""Leading bits of an IPv6 address that identify a client. A client can choose the other bits."""

MAX_HOPS: Final = 32
"""Maximum number of X-Forwarded-For entries that are read, starting with the right-most."""
MAX_ENTRY: Final = 100
"""Maximum length of an entry in characters. An IPv6 address with scope and port has about 70."""

SHOWN_BITS: Final = {4: 24, 6: 48}
"""Leading bits that truncation keeps, by IP version. A household has an IPv6 /56 or /64."""

WITH_PORT: Final = re.compile(r"\[(?P<v6>[^]]+)](?::[0-9]{1,5})?|(?P<v4>[0-9.]+):[0-9]{1,5}")

Address = IPv4Address | IPv6Address
ForwardedEntry = Address | Literal["unix"]


class TrustedProxies:
    """The proxies whose X-Forwarded-For is trusted.

    Each entry is an address, a network such as 10.0.0.0/8, or `UNIX` for every peer on a Unix
    socket. An IPv4 address mapped into IPv6 equals the IPv4 address, here and in X-Forwarded-For.
    Raises ValueError if an entry is none of these. The message has the entry.
    """

    __slots__ = ("_networks", "_unix")

    def __init__(self, entries: Iterable[str] = ()) -> None:
        names = {entry.strip() for entry in entries}
        self._unix = UNIX in names
        self._networks = [parse_network(name) for name in names - {UNIX}]

    def resolve(self, peer: str, forwarded: str) -> str:
        """Return the address of the client behind a peer.

        ``peer`` is the remote address of the connection, or `UNIX`. ``forwarded`` is the complete
        value of X-Forwarded-For, in which each proxy appends the address of its own peer on the
        right. The method checks ``peer`` first, and then the entries from right to left. The first
        address that does not belong to a trusted proxy is the client. If all addresses belong to
        trusted proxies, the left-most is the client. At most `MAX_HOPS` entries are read.

        Entries left of the client's address may be spoofed, and are ignored. If an entry is not an
        address, such as "unknown" or an empty entry, the trusted proxy that appended the entry
        counts as the client. So a client can neither avoid the limits nor spoof an address with
        such an entry: all clients of that proxy with such entries share one rate-limit key.

        An entry may have a port, brackets, quotes and a scope; the result has none of them. If
        ``peer`` is not an address, it is never trusted, and is returned unchanged.
        """
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

    def trusts(self, peer: str) -> bool:
        """Return True if a peer is a trusted proxy."""
        proxy = parse_forwarded_entry(peer)
        return proxy is not None and self._trusts(proxy)

    def _trusts(self, proxy: ForwardedEntry) -> bool:
        if proxy == UNIX:
            return self._unix
        return any(proxy in trusted for trusted in self._networks)


def rate_limit_key(client: str) -> str:
    """Return the rate-limit key of a client.

    The key of an IPv4 client is its IPv4 address, even behind NAT64. The key of an IPv6 client is
    its /64 network. Text that is not an address is returned unchanged.
    """
    known = parse_forwarded_entry(client)
    if isinstance(known, IPv6Address) and known in NAT64:
        return str(IPv4Address(int(known) & int(NAT64.hostmask)))
    if isinstance(known, IPv6Address):
        rest = known.max_prefixlen - COUNTED_BITS
        return f"{IPv6Address(int(known) >> rest << rest)}/{COUNTED_BITS}"
    return client if known is None else str(known)


def parse_forwarded_entry(text: str) -> ForwardedEntry | None:
    """Return the address in an X-Forwarded-For entry; None if the entry is not an address."""
    if len(text) > MAX_ENTRY:
        return None
    text = text.strip().strip('"')
    if text in {UNIX, f"{UNIX}:"}:  # nginx writes "unix:"
        return UNIX
    found = WITH_PORT.fullmatch(text)
    try:
        address = ip_address(found["v6"] or found["v4"] if found else text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))  # drops the scope


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Parse an entry of ``trusted_proxies``; a single address becomes a network of one address."""
    try:
        found = ip_network(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not an address, a network such as 10.0.0.0/8, or the word {UNIX}"
        ) from None
    return unmap(found)


def redact_address(client: str, how: str) -> str:
    """Return a client address as the log may show it; "" if the log must not show the address.

    ``client`` is an address or a network; the log shows no other text. ``how`` is "off" to show no
    address, "truncated" to show its first bits (`SHOWN_BITS`), or "full" to show all of it.
    """
    if how == "off":
        return ""
    try:
        network = unmap(ip_network(client, strict=False))
    except ValueError:
        return ""
    if how == "full":
        return client
    length = min(network.prefixlen, SHOWN_BITS[network.version])
    return str(network.supernet(new_prefix=length))


def unmap(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Convert an IPv6 network of mapped IPv4 addresses to IPv4; return other networks unchanged."""
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED):
        address = int(network.network_address) - int(MAPPED.network_address)
        return IPv4Network((address, network.prefixlen - MAPPED.prefixlen))
    return network
