"""Resolve the address of a client behind trusted proxies, derive its rate-limit key, redact it.

Pure. A client can spoof X-Forwarded-For, so an address counts only if a trusted proxy appended it.
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
"""Prefix of IPv4 clients behind a NAT64 translator (RFC 6052 section 2.1)."""
COUNTED_BITS: Final = 64
"""Bits of an IPv6 address that identify a client, which can choose the other bits freely."""

MAX_HOPS: Final = 32
"""Maximum number of X-Forwarded-For entries that are read, from the right."""
MAX_ENTRY: Final = 100
"""Maximum length of an entry in characters. IPv6 with a scope and a port has about 70."""

SHOWN_BITS: Final = {4: 24, 6: 48}
"""Bits of a truncated address by IP version. A household has an IPv6 /56 or /64."""

WITH_PORT: Final = re.compile(r"\[(?P<v6>[^]]+)](?::[0-9]{1,5})?|(?P<v4>[0-9.]+):[0-9]{1,5}")

Address = IPv4Address | IPv6Address
ForwardedEntry = Address | Literal["unix"]


class TrustedProxies:
    """The proxies whose X-Forwarded-For is trusted.

    Each entry is an address, a network such as 10.0.0.0/8, or `UNIX` for every peer on a Unix
    socket. An IPv4 address mapped into IPv6 equals the IPv4 address, here and in X-Forwarded-For.
    Raises ValueError with the entry if it is none of these.
    """

    __slots__ = ("_networks", "_unix")

    def __init__(self, entries: Iterable[str] = ()) -> None:
        names = {entry.strip() for entry in entries}
        self._unix = UNIX in names
        self._networks = [parse_network(name) for name in names - {UNIX}]

    def resolve(self, peer: str, forwarded: str) -> str:
        """Return the address of the client behind a peer.

        ``peer`` is the remote address of the connection, or `UNIX`. ``forwarded`` is the complete
        X-Forwarded-For. Each proxy appends the address of its own peer on the right. So the entries
        are read from the right, after ``peer``, as long as each address is that of a trusted proxy.
        The first other address is the client. If all addresses are trusted, the left-most is the
        client. At most `MAX_HOPS` entries are read.

        Entries left of the first untrusted address may be spoofed and are ignored. If an entry is
        not an address, such as "unknown" or an empty entry, the trusted proxy that appended it
        counts as the client. So such an entry neither avoids the limits nor spoofs an address: all
        clients of that proxy with such entries share one rate-limit key.

        An entry may have a port, brackets, quotes and a scope; the result has none of them. A peer
        without an address is returned unchanged, and never trusted.
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

    The key of an IPv4 client, also behind NAT64, is its address. The key of an IPv6 client is its
    /64 network. Text that is no address is its own key.
    """
    known = parse_forwarded_entry(client)
    if isinstance(known, IPv6Address) and known in NAT64:
        return str(IPv4Address(int(known) & int(NAT64.hostmask)))
    if isinstance(known, IPv6Address):
        rest = known.max_prefixlen - COUNTED_BITS
        return f"{IPv6Address(int(known) >> rest << rest)}/{COUNTED_BITS}"
    return client if known is None else str(known)


def parse_forwarded_entry(text: str) -> ForwardedEntry | None:
    """Return the address in an entry of X-Forwarded-For, or None."""
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
    """Return the network of a setting entry; a single address is a network of one."""
    try:
        found = ip_network(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not an address, a network such as 10.0.0.0/8, or the word {UNIX}"
        ) from None
    return unmap(found)


def redact_address(client: str, how: str) -> str:
    """Return the form of a client address for the log; "" if the log must not show it.

    ``client`` is an address or the network that is its rate-limit key; other text is never shown.
    ``how`` is "off" for no address, "truncated" for its network (`SHOWN_BITS`), or "full".
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
    """Return the IPv4 network that is mapped into an IPv6 network; other networks unchanged."""
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED):
        address = int(network.network_address) - int(MAPPED.network_address)
        return IPv4Network((address, network.prefixlen - MAPPED.prefixlen))
    return network
