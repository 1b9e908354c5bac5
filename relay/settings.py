"""Settings of a relay, each declared once.

Pure. A field of `RelaySettings` declares the default, unit, range and description of a setting. The
command line options and the table in docs/settings.md are generated from these fields.
"""

from __future__ import annotations

from dataclasses import dataclass

from .fields import flag, integer, listing, path, seconds, validate
from .limits.trusted_proxies import parse_trusted_proxy
from .protocol.origin import parse_origin


@dataclass(frozen=True, kw_only=True, slots=True)
class RelaySettings:
    """Settings of a relay. Times are in seconds and sizes in bytes.

    The constructor converts addresses and origins to lower case, and removes default ports from
    origins. It does not wait, so it cannot be cancelled.

    Args:
        **settings: Settings by name; all others have their defaults. docs/settings.md lists the
            names, defaults, ranges and meanings.

    Raises:
        TypeError: A value has the wrong type. The message contains the name of the setting and the
            value.
        ValueError: A value is not allowed. The message contains the name of the setting and the
            value.
    """

    pair_ttl: float = seconds(300.0, "Time that a side may wait for its peer.", panel="Timeouts")
    sweep_interval: float = seconds(
        30.0, "Interval between searches for sides that have waited for pair_ttl.", panel="Timeouts"
    )
    handshake_timeout: float = seconds(
        10.0,
        "Time that a client has to complete its TLS handshake, if any, and its request head.",
        panel="Timeouts",
    )
    close_timeout: float = seconds(
        5.0,
        "Time that a client has to complete the closing handshake, or to read the 101 response.",
        panel="Timeouts",
    )

    ping_interval: float = seconds(
        20.0,
        "Time that a side may be silent before the relay pings it; shortened at random by up to a"
        " quarter.",
        zero="no pings",
        panel="Keepalive",
    )
    ping_timeout: float = seconds(
        20.0,
        "Time that a side may stay silent after a ping before it is closed as unresponsive.",
        panel="Keepalive",
    )
    stall_timeout: float = seconds(
        240.0,
        "Time after which the relay closes a side that accepts none of the data sent to it.",
        zero="no limit",
        panel="Timeouts",
    )
    takeover_timeout: float = seconds(
        2.0,
        "Time that the sides of a code have to answer a ping when a new client requests the code."
        " If a side does not answer, its pair is evicted.",
        zero="no takeover checks",
        panel="Keepalive",
    )

    max_connections: int | None = integer(
        None,
        "Maximum number of admitted connections; further clients are refused with 503.",
        absent="90 % of the descriptor limit",
        panel="Limits",
    )
    max_waiting: int = integer(
        0,
        "Maximum number of codes with a waiting side; further codes are refused with 503.",
        panel="Limits",
    )
    max_connections_per_client: int = integer(
        0,
        "Maximum number of open connections of one client (an IPv4 address or an IPv6 /64);"
        " further connections are refused with 429.",
        panel="Limits",
    )
    max_connects_per_minute: int = integer(
        0,
        "Maximum number of upgrades per minute by one client (an IPv4 address or an IPv6 /64),"
        " including refused upgrades; further upgrades are refused with 429.",
        panel="Limits",
    )
    trusted_proxies: tuple[str, ...] = listing(
        "The proxies whose X-Forwarded-For is trusted; unix means every client of a Unix socket.",
        "addresses, networks like 10.0.0.0/8, or unix, separated by commas",
        parse_trusted_proxy,
        panel="Network",
    )

    max_message_size: int = integer(
        100 * 2**20, "Maximum size of a binary message.", of="bytes", panel="Limits"
    )
    max_bytes_per_second: int = integer(
        0,
        "Maximum rate of each direction of a pair; a faster sender is slowed down.",
        of="bytes per second",
        panel="Limits",
    )
    max_pair_bytes: int = integer(
        0,
        "Maximum traffic of a pair, both directions together; at the limit it is closed with 1008.",
        of="bytes",
        panel="Limits",
    )
    max_pair_seconds: float = seconds(
        0.0,
        "Maximum duration of a pair; at the limit it is closed with 1008.",
        zero="no limit",
        panel="Limits",
    )

    token_file: str = path(
        "The file with the token that a client must show to start a new pair. A client without the"
        " token can only join a waiting side that showed the token.",
        panel="Access",
    )
    allowed_origins: tuple[str, ...] = listing(
        "The origins of the web pages that may connect; other pages are refused with 403. The"
        " relay's own origin, and clients without an Origin, are always allowed.",
        "origins like https://app.example, or null, or file://, separated by commas",
        parse_origin,
        absent="all",
        panel="Access",
    )
    strict_codes: bool = flag(
        False,
        "Restrict codes to the characters A-Z a-z 0-9 . _ ~ -, and requests to one code each; other"
        " requests are refused with 400.",
        panel="Access",
    )
    test_page: bool = flag(
        False,
        "Serve a page at /test that tests the connections from a browser to the relay.",
        panel="Access",
    )
    drain_delay: float = seconds(
        0.0,
        "Time for which a stopping relay refuses new clients before it closes the sides.",
        zero="no delay",
        panel="Timeouts",
    )

    def __post_init__(self) -> None:
        validate(self)
