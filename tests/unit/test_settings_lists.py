"""Trusted proxies and allowed origins, and their normal forms."""

from __future__ import annotations

import pytest

from relay import RelaySettings


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::1", "::1"),
        ("FD00:0::/8", "fd00::/8"),
        ("UNIX", "unix"),
    ],
)
def test_trusted_proxy(text: str, kept: str) -> None:
    """A trusted proxy is an address, a network or the word unix, kept in its normal form."""
    assert RelaySettings(trusted_proxies=(text,)).trusted_proxies == (kept,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "proxy.example",
        "10.0.0.1/8",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.0/33",
        "::1%lo",
        "*",
        "unix:",
    ],
)
def test_no_trusted_proxy(text: str) -> None:
    """A name, a network with host bits, or an address with a zone is no trusted proxy."""
    with pytest.raises(ValueError, match=r"^trusted_proxies must be addresses, ") as refused:
        RelaySettings(trusted_proxies=("unix", text))
    assert str(refused.value).endswith(f", not {text!r}")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.Example", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("https://app.example:08443", "https://app.example:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[0::1]:65535", "http://[::1]:65535"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("NULL", "null"),
        ("FILE://", "file://"),
    ],
)
def test_allowed_origin(text: str, kept: str) -> None:
    """An origin is stored as browsers send it: in lower case, without the default port."""
    assert RelaySettings(allowed_origins=(text,)).allowed_origins == (kept,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "app.example",
        "file:///",
        "file:",
        "https://",
        "https://app.example/",
        "https://app.example:65536",
        "https://app.example:x",
        "https://user@app.example",
        "https://*.example",
        "https://bücher.example",
        "http://[::1",
        "http://[1::2::3]",
        "https://app.example\n",
    ],
)
def test_no_allowed_origin(text: str) -> None:
    """A host alone, a path, a pattern or an invalid name is no origin."""
    with pytest.raises(ValueError, match=r"^allowed_origins must be origins like ") as refused:
        RelaySettings(allowed_origins=("null", text))
    assert str(refused.value).endswith(f", not {text!r}")
