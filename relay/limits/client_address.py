"""Parse client addresses, derive rate-limit keys, and redact addresses. Pure."""

from __future__ import annotations

import re
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
"""Number of leading bits that identify an IPv6 client. The client can choose the other bits."""

MAX_ENTRY: Final = 100
"""Maximum length, in characters, of an entry in X-Forwarded-For.

An IPv6 address with scope and port has about 70 characters.
"""

SHOWN_BITS: Final = {4: 24, 6: 48}
"""Number of leading bits that remain of a truncated address, by IP version.

The bits that remain do not identify a household, because its IPv6 prefix is longer than 48 bits.
"""

WITH_PORT: Final = re.compile(r"\[(?P<v6>[^]]+)](?::[0-9]{1,5})?|(?P<v4>[0-9.]+):[0-9]{1,5}")

Address = IPv4Address | IPv6Address
ForwardedEntry = Address | Literal["unix"]


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

    ``client`` is an address or a network; for any other text the result is "". ``how`` is "full" to
    show the whole address, "truncated" to show its leading `SHOWN_BITS`, or "off" to show nothing.
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
    """Convert a network of IPv4-mapped IPv6 addresses to IPv4; return other networks unchanged."""
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED):
        address = int(network.network_address) - int(MAPPED.network_address)
        return IPv4Network((address, network.prefixlen - MAPPED.prefixlen))
    return network
