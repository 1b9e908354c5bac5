"""How much of a client's address the log shows. Pure."""

from __future__ import annotations

from ipaddress import IPv6Network, ip_network
from typing import Final

__all__ = ["SHOWN", "redact_address"]

SHOWN: Final = ("off", "truncated", "full")
"""Nothing, the network with its many neighbours, or all of it."""

PREFIX: Final = {4: 24, 6: 48}  # bits that stay; a household has a /56 or a /64
MAPPED: Final = IPv6Network("::ffff:0:0/96")  # RFC 4291 section 2.5.5.2


def redact_address(client: str, how: str) -> str:
    """Return what may be shown of a client's address, as one of `SHOWN` says; "" if nothing.

    The client is an address, or the network that it is counted in. What is neither is never shown.
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
