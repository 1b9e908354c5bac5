"""Settings of ``arc-relay start`` that an embedded relay does not have.

These settings configure listeners, certificates, metrics and logging. They are declared in the same
way as `RelaySettings`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ..fields import choice, integer, path, text, validate

MAX_PORT: Final = 65535
ADDRESS: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%[^\s\[\]]+)?)\]|([^\s\[\]:]*)):([0-9]{1,5})")
BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]*:[^\s\[\]]*)\]")  # IPv6 address, as in a URL


def split_address(text: str) -> tuple[str, int]:
    """Split HOST:PORT into the host, without brackets, and the port; an empty host becomes ``*``.

    Raises ValueError if the text is malformed.
    """
    found = ADDRESS.fullmatch(text)
    if found is None or (port := int(found[3])) > MAX_PORT:
        raise ValueError(f"no HOST:PORT: {text!r}")
    return found[1] or found[2] or "*", port


def _host(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError
    bracketed = BRACKETED.fullmatch(text)
    return bracketed[1] if bracketed else text


def _octal_mode(text: str) -> str:
    if not re.fullmatch("0?[0-7]{3}", text):
        raise ValueError
    return text


def _address(text: str) -> str:
    if text:
        split_address(text)
    return text


@dataclass(frozen=True, kw_only=True, slots=True)
class DaemonSettings:
    """Settings of the process that runs a relay.

    Construction raises TypeError or ValueError like `RelaySettings`. It also raises ValueError for
    a certificate without a key, or a key without a certificate.
    """

    host: str = text(
        "0.0.0.0",  # noqa: S104 - clients on other machines must reach the relay
        "The address to listen on.",
        "a host name or an address, or * for all interfaces, IPv4 and IPv6",
        _host,
        metavar="HOST",
        short="-H",
        panel="Network",
    )
    port: int = integer(
        8765,
        "The port to listen on; 0 lets the system choose.",
        maximum=MAX_PORT,
        metavar="PORT",
        short="-p",
        panel="Network",
    )
    unix_socket: str = path(
        "The Unix socket to listen on; without --host or --port, the relay then uses no TCP port.",
        panel="Network",
    )
    unix_socket_mode: str = text(
        "0660",
        "The permissions of the Unix socket.",
        "an octal number from 000 to 777",
        _octal_mode,
        metavar="MODE",
        panel="Network",
    )
    tls_cert: str = path(
        "The PEM file with the TLS certificate and its chain; requires the key.", panel="TLS"
    )
    tls_key: str = path("The PEM file with the private key of the certificate.", panel="TLS")
    metrics: str = text(
        "",
        "The address on which to serve metrics for Prometheus.",
        "HOST:PORT, or :PORT for all interfaces, IPv4 and IPv6",
        _address,
        metavar="ADDRESS",
        panel="Logs and metrics",
    )
    log_format: str = choice(
        "auto",
        ("auto", "text", "json"),
        "The format of log lines: text is key=value, and auto is the same, except on a terminal or"
        " in systemd's journal.",
        panel="Logs and metrics",
    )
    log_level: str = choice(
        "info",
        ("debug", "info", "warning", "error"),
        "The lowest level of log lines to write.",
        panel="Logs and metrics",
    )
    log_addresses: str = choice(
        "off",
        ("off", "truncated", "full"),
        "The form of client addresses in log lines.",
        panel="Logs and metrics",
    )

    given: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    """Flag or variable that set each setting, keyed by the name of the setting.

    The mapping also contains the settings of `RelaySettings`.
    """

    @property
    def tcp(self) -> bool:
        """True if the relay listens on TCP.

        If a Unix socket is set, the relay listens on TCP only if host or port is given.
        """
        return not self.unix_socket or not {"host", "port"}.isdisjoint(self.given)

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Host and port on which metrics are served; None if no metrics are served."""
        return split_address(self.metrics) if self.metrics else None

    def option(self, name: str) -> str:
        """Return the flag or the variable that set a setting; the flag if neither was given."""
        return self.given.get(name, f"--{name.replace('_', '-')}")

    def __post_init__(self) -> None:
        validate(self)
        if bool(self.tls_cert) != bool(self.tls_key):
            pair = ("tls_cert", "tls_key") if self.tls_cert else ("tls_key", "tls_cert")
            raise ValueError(" requires ".join(map(self.option, pair)))
