"""Which client is behind a connection, and what it counts as.

Pure. An address that a client sends is worth nothing; one that a trusted proxy saw is.
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

__all__ = ["UNIX", "TrustedProxies", "rate_limit_key"]

UNIX: Final = "unix"
"""Stands for the peer on a Unix socket, which has no address."""

MAPPED: Final = IPv6Network("::ffff:0:0/96")  # IPv4 in IPv6, RFC 4291 section 2.5.5.2
NAT64: Final = IPv6Network("64:ff9b::/96")
"""Prefix in which a translator shows IPv4 clients to an IPv6 network (RFC 6052 section 2.1)."""
COUNTED_BITS: Final = 64
"""Bits of an IPv6 address that one client is given: it can choose the others as it likes."""

MAX_HOPS: Final = 32
"""Entries of X-Forwarded-For that are read, from the right. Real chains have a few."""
MAX_ENTRY: Final = 100
"""Characters of an entry that can be an address. IPv6 with a scope and a port has about 70."""

WITH_PORT: Final = re.compile(r"\[(?P<v6>[^]]+)](?::[0-9]{1,5})?|(?P<v4>[0-9.]+):[0-9]{1,5}")

Address = IPv4Address | IPv6Address
ForwardedEntry = Address | Literal["unix"]


class TrustedProxies:
    """The proxies whose X-Forwarded-For is believed.

    Each entry is an address, a network such as 10.0.0.0/8, or the word `UNIX` for whatever
    connects by a Unix socket. IPv4 addresses mapped into IPv6 are IPv4 addresses, here and below.
    Raises ValueError, naming the entry, if it is none of these.
    """

    __slots__ = ("_networks", "_unix")

    def __init__(self, entries: Iterable[str] = ()) -> None:
        names = {entry.strip() for entry in entries}
        self._unix = UNIX in names
        self._networks = [parse_network(name) for name in names - {UNIX}]

    def resolve(self, peer: str, forwarded: str) -> str:
        """Return the address of the client behind a peer.

        ``peer`` is the address that the connection comes from, or `UNIX`; ``forwarded`` is all of
        its X-Forwarded-For, where each proxy adds on the right the address that it was connected
        from. So it is read from the right for as long as each address, beginning with peer, is a
        trusted proxy's: the first one that is not is the client. If all are, it is the left-most.
        No more than `MAX_HOPS` entries are read.

        What stands left of the first address that is not trusted may be anybody's invention, and
        is never looked at. Where an entry is no address, such as "unknown" or an empty one, the
        trusted proxy that wrote it counts as the client: such clients share one count, which none
        of them can leave, and nobody can put another's address in that place.

        An entry may have a port, brackets, quotes and a scope; what is returned has none of them.
        A peer that is no address is returned as it is, and never trusted.
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

    def _trusts(self, proxy: ForwardedEntry) -> bool:
        if proxy == UNIX:
            return self._unix
        return any(proxy in trusted for trusted in self._networks)


def rate_limit_key(client: str) -> str:
    """Return the key by which a client is counted.

    It is the IPv4 address, also of a client behind NAT64, the /64 network of an IPv6 address, or
    the text itself if it is no address.
    """
    known = parse_forwarded_entry(client)
    if isinstance(known, IPv6Address) and known in NAT64:
        return str(IPv4Address(int(known) & int(NAT64.hostmask)))
    if isinstance(known, IPv6Address):
        rest = known.max_prefixlen - COUNTED_BITS
        return f"{IPv6Address(int(known) >> rest << rest)}/{COUNTED_BITS}"
    return client if known is None else str(known)


def parse_forwarded_entry(text: str) -> ForwardedEntry | None:
    """Return the address that an entry of X-Forwarded-For stands for, None if it is none."""
    if len(text) > MAX_ENTRY:
        return None
    text = text.strip().strip('"')
    if text in {UNIX, f"{UNIX}:"}:  # the latter is how nginx calls it
        return UNIX
    found = WITH_PORT.fullmatch(text)
    try:
        address = ip_address(found["v6"] or found["v4"] if found else text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))  # without its scope


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Return the network that an entry of the settings stands for, a single address among them."""
    try:
        found = ip_network(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not an address, a network such as 10.0.0.0/8, or the word {UNIX}"
        ) from None
    if isinstance(found, IPv6Network) and found.subnet_of(MAPPED):
        host_bits = MAPPED.max_prefixlen - MAPPED.prefixlen
        address = int(found.network_address) % 2**host_bits
        return IPv4Network((address, found.prefixlen - MAPPED.prefixlen))
    return found
