"""URLs and targets of the commands `health` and `probe`."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from relay.cli.http_client import local_target, parse_target
from relay.client.dial import ConnectTarget, client_context
from relay.client.url import parse_url
from relay.daemon.settings import DaemonSettings


@pytest.mark.parametrize(
    ("text", "shown", "host", "port", "tls"),
    [
        ("ws://relay.example", "ws://relay.example/", "relay.example", 80, False),
        ("http://relay.example:8765/", "ws://relay.example:8765/", "relay.example", 8765, False),
        ("wss://relay.example/a/b?x=1#y", "wss://relay.example/a/b", "relay.example", 443, True),
        ("HTTPS://Relay.Example:443", "wss://relay.example/", "relay.example", 443, True),
        ("ws://[::1]:80/", "ws://[::1]/", "::1", 80, False),
        ("unix:/run/relay.sock", "unix:/run/relay.sock", "localhost", 80, False),
        ("ws://bücher.example/ü", "ws://xn--bcher-kva.example/%C3%BC", "", 80, False),
    ],
)
def test_url(text: str, shown: str, host: str, port: int, tls: bool) -> None:
    """A URL is parsed, and displayed without its query."""
    url = parse_url(text)
    assert str(url) == shown
    assert (url.port, url.tls) == (port, tls)
    assert url.host == host or not host


@pytest.mark.parametrize(
    "text",
    [
        "",
        "relay.example",
        "ftp://relay.example/?pair=secret",
        "ws://",
        "ws:///path?pair=secret",
        "ws://relay.example:port/?pair=secret",
        "ws://relay.example:65536/?pair=secret",
        "ws://[::1/?pair=secret",
        f"ws://{'x' * 70}.example/?pair=secret",
        "ws://user:secret@relay.example/",
    ],
)
def test_bad_url(text: str) -> None:
    """An invalid URL is refused in one line that does not quote it."""
    with pytest.raises(ValueError, match=r"^URL must [^\n]+$") as caught:
        parse_url(text)
    assert "secret" not in str(caught.value)


def test_code_is_not_shown() -> None:
    """The query may contain a code; it is only in the request."""
    url = parse_url("wss://relay.example/?pair=secret code")
    assert url.query == "pair=secret%20code"
    assert "secret" not in f"{url} {url!r}"


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("0.0.0.0", ("127.0.0.1",)),  # noqa: S104 - this is what it is about
        ("::", ("::1",)),
        ("*", ("127.0.0.1", "::1")),
        ("192.0.2.1", ("192.0.2.1",)),
    ],
)
def test_local(host: str, addresses: tuple[str, ...]) -> None:
    """The loopback interface reaches a relay that listens everywhere."""
    assert local_target(DaemonSettings(host=host, port=1234)) == ConnectTarget(addresses, 1234)


def test_local_unix_and_tls() -> None:
    """A Unix socket goes before an address; a certificate of this machine is not verified."""
    settings = DaemonSettings(unix_socket="relay.sock", tls_cert="cert", tls_key="key")
    target = local_target(settings)
    assert str(target) == "unix:relay.sock"
    assert target.tls is not None
    assert target.tls.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize(
    ("text", "shown", "path"),
    [
        ("ws://127.0.0.1:8765", "127.0.0.1:8765", "/health"),
        ("http://[::1]:8765/", "[::1]:8765", "/health"),
        ("http://localhost/relay/health?pair=x", "localhost:80", "/relay/health"),
        ("unix:/run/relay.sock", "unix:/run/relay.sock", "/health"),
        ("unix:///run/relay.sock", "unix:/run/relay.sock", "/health"),
    ],
)
def test_target(text: str, shown: str, path: str) -> None:
    """Every form of a URL has an address, and the path /health by default."""
    target = parse_target(text)
    assert (str(target), target.path, target.tls) == (shown, path, None)


@pytest.mark.parametrize(
    ("text", "verified"),
    [
        ("wss://relay.example", True),
        ("https://192.0.2.1", True),
        ("wss://127.0.0.1", False),
        ("wss://[::1]", False),
        ("https://localhost", False),
    ],
)
def test_verification(text: str, verified: bool) -> None:
    """The certificate of a remote URL is verified, that of a local listener is not."""
    context = parse_target(text).tls
    assert context is not None
    assert context.check_hostname is verified
    assert (context.verify_mode is ssl.CERT_REQUIRED) is verified


@pytest.mark.parametrize("text", ["unix:", "unix", "tcp:127.0.0.1:80"])
def test_bad_target(text: str) -> None:
    """Text that is neither a URL nor a path of a Unix socket is refused."""
    with pytest.raises(ValueError, match=r"^URL must"):
        parse_target(text)


def test_authorities(tmp_path: Path) -> None:
    """A file of authorities replaces the system's authorities."""
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(file)
    assert len(client_context(ca=str(file)).get_ca_certs()) == 1
