"""The client address of a connection, with any X-Forwarded-For, and its rate-limit key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.daemon.log_observer import LogObserver
from relay.limits import client_address
from relay.limits.client_address import rate_limit_key, redact_address
from relay.limits.trusted_proxies import MAX_HOPS, TrustedProxies
from tests.support.recorded_events import CANARY_V4, CANARY_V6, EVERY_EVENT, Log, bare_logging

PROXIES = TrustedProxies(("10.0.0.0/8", "192.0.2.1", " ::1 ", "2001:db8:1::/48", "unix"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        # Who is not trusted is the client, whatever it says.
        ("203.0.113.7", "", "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
        ("192.0.2.2", "198.51.100.1", "192.0.2.2"),
        ("2001:db8::1", "198.51.100.1", "2001:db8::1"),
        ("", "198.51.100.1", ""),
        ("relay.example", "198.51.100.1", "relay.example"),
        # Who is trusted says who the client is.
        ("10.1.2.3", "198.51.100.1", "198.51.100.1"),
        ("192.0.2.1", "198.51.100.1", "198.51.100.1"),
        ("::1", "198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2::3", "198.51.100.1", "198.51.100.1"),
        ("unix", "198.51.100.1", "198.51.100.1"),
        # Right of the client there are proxies, left of it there is anything.
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1,::1 ,  10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, unix:", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.9, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "what, ever, 198.51.100.1", "198.51.100.1"),
        # If all are proxies, the first of them began it.
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "  ", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("unix", "", "unix"),
        ("10.0.0.1", "unix", "unix"),
        # A proxy that does not know its client counts itself.
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.1,", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1,,10.0.0.2", "10.0.0.2"),
        ("unix", "_hidden", "unix"),
    ],
)
def test_client_behind_proxies(peer: str, forwarded: str, client: str) -> None:
    """The client is the right-most address that is no trusted proxy."""
    assert PROXIES.resolve(peer, forwarded) == client


@pytest.mark.parametrize(
    ("entry", "client"),
    [
        ("198.51.100.1:5678", "198.51.100.1"),
        ('"198.51.100.1"', "198.51.100.1"),
        ('"198.51.100.1:5678"', "198.51.100.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ('"[2001:db8::1]:443"', "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:443", "fe80::1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("[::ffff:c633:6401]:443", "198.51.100.1"),
    ],
)
def test_entry_with_more_than_an_address(entry: str, client: str) -> None:
    """An entry may have a port, brackets, quotes or a scope; only the address counts."""
    assert PROXIES.resolve("10.0.0.1", f"203.0.113.7, {entry}") == client


@pytest.mark.parametrize(
    "entry",
    [
        "198.51.100",
        "198.51.100.1.1",
        "198.51.100.256",
        "198.51.100.01",
        "198.51.100.1:",
        "198.51.100.1:x",
        "198.51.100.1:123456",
        "198.51.100.1%eth0",
        "3325256705",
        "2001:db8::1]:443",
        "[2001:db8::1",
        "[2001:db8::1]443",
        "[]",
        "[]:443",
        "198.51.100.1 203.0.113.7",
        "for=198.51.100.1",
        "١٩٨.51.100.1",
        "[" + ":" * 10_000,
        "1" * 10_000,
    ],
)
def test_entry_that_is_no_address(entry: str) -> None:
    """Text that is almost an address is none; the proxy that wrote it counts as the client."""
    assert PROXIES.resolve("10.0.0.1", f"203.0.113.7, {entry}") == "10.0.0.1"


@pytest.mark.parametrize("peer", ["::ffff:10.0.0.1", "::1%lo", "[::1]:443"])
def test_peer_is_compared_by_its_address(peer: str) -> None:
    """A proxy is trusted in any notation of its address."""
    assert PROXIES.resolve(peer, "198.51.100.1") == "198.51.100.1"


def test_nobody_is_trusted() -> None:
    """Without trusted proxies, the peer is the client, in the form in which it is given."""
    for peer in ("::ffff:10.0.0.1", "unix", ""):
        assert TrustedProxies().resolve(peer, "203.0.113.7") == peer


@pytest.mark.parametrize("entries", [("unix",), ("198.51.100.0/24",)])
def test_nobody_else_is_trusted(entries: Sequence[str]) -> None:
    """Without a trusted proxy no header counts."""
    proxies = TrustedProxies(entries)
    assert proxies.resolve("::ffff:10.0.0.1", "203.0.113.7") == "10.0.0.1"
    assert proxies.resolve("unix", "203.0.113.7") == (
        "203.0.113.7" if "unix" in entries else "unix"
    )


def test_mapped_networks_are_ipv4() -> None:
    """An IPv4 network may be written in IPv6 form; all of IPv6 does not include IPv4."""
    for entry, client in (
        ("::ffff:10.0.0.0/104", "203.0.113.7"),
        ("::ffff:10.0.0.1", "203.0.113.7"),
        ("::ffff:0:0/96", "203.0.113.7"),
        ("0.0.0.0/0", "203.0.113.7"),
        ("::/0", "10.0.0.1"),
        ("::ffff:10.0.0.2", "10.0.0.1"),
    ):
        assert TrustedProxies([entry]).resolve("10.0.0.1", "203.0.113.7") == client


@pytest.mark.parametrize(
    "entry", ["", "proxy", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "::/129", "[::1]", "10.0.0.1:80"]
)
def test_entry_of_the_settings_that_is_wrong(entry: str) -> None:
    """An invalid entry is named in the error, with the valid forms."""
    with pytest.raises(ValueError, match="is not an address, a network such as") as wrong:
        TrustedProxies(["10.0.0.0/8", entry])
    assert repr(entry) in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_long_header_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of parsed entries is bounded, and an invalid entry ends the parsing."""
    looked_at = []

    def looked(text: str) -> object:
        looked_at.append(text)
        return ip_address(text)

    monkeypatch.setattr(client_address, "ip_address", looked)
    assert PROXIES.resolve("10.0.0.1", "203.0.113.7," + "10.1.1.1," * 5000 + "::1") == "10.1.1.1"
    assert len(looked_at) == MAX_HOPS + 1
    short = "203.0.113.7," + "10.1.1.1," * (MAX_HOPS - 1) + "::1"
    assert PROXIES.resolve("10.0.0.1", short) == "10.1.1.1"
    looked_at.clear()
    assert PROXIES.resolve("10.0.0.1", "[" * 16_000) == "10.0.0.1"
    assert looked_at == ["10.0.0.1"]


addresses = st.ip_addresses().map(str) | st.sampled_from(["10.0.0.1", "10.1.1.1", "::1", "unix:"])
texts = addresses | st.text(max_size=12) | st.sampled_from(["unknown", "", "[::1]:1", "[", '"'])
strangers = st.ip_addresses(network="198.51.100.0/24") | st.ip_addresses(network="2001:db8:2::/48")


@given(
    st.lists(texts),
    strangers.map(str),
    st.lists(st.sampled_from(["10.0.0.2", "::1"]), max_size=MAX_HOPS - 1),
)
def test_header_cannot_choose_an_address(invented: list[str], own: str, proxies: list[str]) -> None:
    """The client is the address that the first trusted proxy added, whatever the client sends."""
    assert PROXIES.resolve("10.0.0.1", ", ".join([*invented, own, *proxies])) == own


@given(texts, st.lists(texts).map(",".join) | st.text())
def test_any_header_has_a_client(peer: str, forwarded: str) -> None:
    """Any header has a client: the peer, or an address in the header."""
    bare = TrustedProxies(["3fff::1"]).resolve  # no peer and no entry of this test
    assert bare(peer, forwarded) == bare(peer, "")
    assert PROXIES.resolve(peer, forwarded) in {
        bare(entry, "") for entry in (peer, *forwarded.split(","))
    }


@pytest.mark.parametrize(
    ("client", "counted"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff:ffff:ffff:ffff", "2001:db8::/64"),
        ("2001:db8:0:1::", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("64:ff9b::c633:6401", "198.51.100.1"),
        ("64:ff9b::198.51.100.1", "198.51.100.1"),
        ("64:ff9b:1::c633:6401", "64:ff9b:1::/64"),
        ("64:ff9b::1:c633:6401", "64:ff9b::/64"),
        ("unix", "unix"),
        ("", ""),
        ("elsewhere", "elsewhere"),
    ],
)
def test_rate_limit_key(client: str, counted: str) -> None:
    """A client counts as its IPv4 address, also behind NAT64, or as its IPv6 network."""
    assert rate_limit_key(client) == counted


@pytest.fixture(autouse=True)
def _bare_logging() -> Iterator[None]:
    with bare_logging():
        yield


@pytest.mark.parametrize(
    ("client", "truncated"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:beef:cafe::77", "2001:db8:beef::/48"),
        ("2001:db8:beef:cafe::/64", "2001:db8:beef::/48"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("10.0.0.0/8", "10.0.0.0/8"),
    ],
)
def test_addresses(client: str, truncated: str) -> None:
    """An address is omitted, truncated to a network, or displayed in full."""
    assert redact_address(client, "off") == ""
    assert redact_address(client, "truncated") == truncated
    assert redact_address(client, "full") == client


@pytest.mark.parametrize("client", ["", "unknown", "host.example", "1.2.3.4, 5.6.7.8"])
def test_what_is_no_address(client: str) -> None:
    """Text that is not an address is not displayed at all."""
    assert redact_address(client, "truncated") == ""
    assert redact_address(client, "full") == ""


@pytest.mark.parametrize("format", ["auto", "text", "json"])
def test_no_address_unless_asked_for(format: str) -> None:
    """No line of any format, and no representation, has an address by default."""
    shown = {}
    for how in ("off", "truncated", "full"):
        log = Log(format=format)
        observer = LogObserver(log.log, how, clock=lambda: 0.0)
        for event in EVERY_EVENT:
            observer.on_event(event)
        shown[how] = log.text() + repr(EVERY_EVENT) + repr(observer) + repr(log.log)
    assert not any(part in shown["off"] for part in ("192.0.2", "2001:db8"))
    assert not any(canary in shown["truncated"] for canary in (CANARY_V4, CANARY_V6, "cafe"))
    assert all(canary in shown["full"] for canary in (CANARY_V4, CANARY_V6))
    assert all(text.count("5f3a91c2d4") > 1 for text in shown.values())
