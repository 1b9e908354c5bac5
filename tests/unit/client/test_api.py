"""The public names of relay.client."""

from __future__ import annotations

import subprocess
import sys

import pytest

import relay.client


def test_public_names() -> None:
    """Every public name can be imported and is listed, and no other."""
    for name in relay.client.__all__:
        assert getattr(relay.client, name) is not None
        assert name in dir(relay.client)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        relay.client.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_connections_do_not_need_the_extra() -> None:
    """The commands connect to a relay without the libraries of the extra `client`."""
    modules = "relay.client.dial, relay.cli.http_client"
    code = f"import sys, {modules}; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
