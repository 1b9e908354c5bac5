"""Redact client addresses for the log. Pure."""

from __future__ import annotations

from ipaddress import IPv6Network, ip_network
from typing import Final

__all__ = ["SHOWN", "redact_address"]

SHOWN: Final = ("off", "truncated", "full")
"""Redaction modes: no address, its network (`PREFIX`), or the full address."""

PREFIX: Final = {4: 24, 6: 48}  # bits shown; a household has a /56 or a /64
MAPPED: Final = IPv6Network("::ffff:0:0/96")  # RFC 4291 section 2.5.5.2


def redact_address(client: str, how: str) -> str:
    """Return the part of a client address that the log may show, or "" for none.

    ``client`` is an address or the network that is its rate-limit key; other text is never shown.
    ``how`` is one of `SHOWN`.
    """
    if how == "off":
        return ""
    try:
        network = ip_network(client, strict=False)
    except ValueError:
        return ""
    if how == "full":
        return client
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED):
        inner = int(network.network_address) - int(MAPPED.network_address)
        network = ip_network((inner, network.prefixlen - MAPPED.prefixlen))
    length = min(network.prefixlen, PREFIX[network.version])
    return str(network.supernet(new_prefix=length))
