"""Allowed values of the settings of the process."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from relay.daemon.settings import DaemonSettings, split_address
from relay.fields import iter_fields, non_defaults


def with_setting(name: str, value: Any) -> DaemonSettings:
    """Return settings with this value in one field."""
    return DaemonSettings(**{name: value})


def test_defaults() -> None:
    """The defaults are the documented ones."""
    assert asdict(DaemonSettings()) == {
        "host": "0.0.0.0",  # noqa: S104 - nothing listens
        "port": 8765,
        "unix_socket": "",
        "unix_socket_mode": "0660",
        "tls_cert": "",
        "tls_key": "",
        "metrics": "",
        "log_format": "auto",
        "log_level": "info",
        "log_addresses": "off",
        "given": {},
    }
    for name, default, about in iter_fields(DaemonSettings):
        assert about.help.endswith(".")
        assert about.parse(name, about.format(default)) == default


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("host", ["*", "::1", "a.example", "[a]"], ["", "a\0"]),
        ("port", [0, 65535], [-1, 65536]),
        ("unix_socket", ["", "/run/a b"], ["\0abstract"]),
        (
            "unix_socket_mode",
            ["000", "0777", "660"],
            ["", "66", "0o660", "1777", "668", "06600", "660\n"],
        ),
        ("log_format", ["auto", "text", "json"], ["", "xml"]),
        ("log_level", ["debug", "info", "warning", "error"], ["", "critical", "INFO"]),
        ("log_addresses", ["off", "truncated", "full"], ["", "on"]),
        (
            "metrics",
            ["", "localhost:9090", "127.0.0.1:0", "[::1]:65535", "*:9090", ":9090"],
            [
                ":",
                ":65536",
                "9090",
                "a",
                "a:",
                "a:x",
                "a:65536",
                "::1:9090",
                "[::1]",
                "a b:1",
                "http://a:1",
            ],
        ),
    ],
)
def test_values(name: str, good: list[Any], bad: list[Any]) -> None:
    """Each setting accepts its allowed values and refuses others with its name."""
    for value in good:
        assert getattr(with_setting(name, value), name) == value
    for value in bad:
        with pytest.raises(ValueError, match=f"^{name} must be ") as refused:
            with_setting(name, value)
        assert str(refused.value).endswith(f", not {value!r}")


@pytest.mark.parametrize("host", ["::1", "::", "2001:db8::1", "fe80::1%eth0", "::ffff:192.0.2.1"])
def test_brackets(host: str) -> None:
    """An IPv6 address may be in brackets, as in a URL."""
    assert DaemonSettings(host=f"[{host}]").host == host


def test_certificate_and_key() -> None:
    """A certificate requires its key, and a key its certificate."""
    assert DaemonSettings(tls_cert="/c", tls_key="/k").tls_key == "/k"
    with pytest.raises(ValueError, match=r"^--tls-cert requires --tls-key$"):
        DaemonSettings(tls_cert="/c")
    with pytest.raises(ValueError, match=r"^ARC_RELAY_TLS_KEY requires --tls-cert$"):
        DaemonSettings(tls_key="/k", given={"tls_key": "ARC_RELAY_TLS_KEY"})


@pytest.mark.parametrize(
    ("unix", "given", "tcp"),
    [
        ("", set[str](), True),
        ("", {"unix_socket"}, True),
        ("/a", {"unix_socket"}, False),
        ("/a", {"unix_socket", "metrics"}, False),
        ("/a", {"unix_socket", "host"}, True),
        ("/a", {"unix_socket", "port"}, True),
    ],
)
def test_unix_instead_of_tcp(unix: str, given: set[str], tcp: bool) -> None:
    """A Unix socket replaces TCP, unless a host or a port is given as well."""
    assert DaemonSettings(unix_socket=unix, given=dict.fromkeys(given, "")).tcp is tcp


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:9090", ("localhost", 9090)),
        ("[::1]:0", ("::1", 0)),
        ("[fe80::1%lo]:0", ("fe80::1%lo", 0)),
        ("*:80", ("*", 80)),
        (":80", ("*", 80)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    """An address is a host without brackets and a port."""
    assert split_address(text) == address
    assert DaemonSettings(metrics=text).metrics_address == address


def test_no_metrics() -> None:
    """Without an address there are no metrics."""
    assert DaemonSettings().metrics_address is None


def test_no_address() -> None:
    """A malformed address is refused."""
    with pytest.raises(ValueError, match=r"^no HOST:PORT: '9090'$"):
        split_address("9090")


def test_what_was_given_is_no_setting() -> None:
    """The flags and variables of the settings are no difference, and are not shown."""
    settings = DaemonSettings(port=1, given={"port": "-p", "host": "-H"})
    assert non_defaults(settings) == [("port", 1)]
    assert "given" not in repr(settings)
