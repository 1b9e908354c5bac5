"""`arc-relay start --check`: the table of the settings, and the errors of a start."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
import trio

from relay import RelaySettings
from relay.cli import main
from relay.cli.options import flags_of
from relay.cli.start import describe_certificate
from relay.daemon import run as daemon
from relay.daemon.certificate_expiry import Certificate as Facts
from relay.daemon.settings import DaemonSettings
from relay.fields import iter_fields
from tests.support.certificates import Certificate


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Start from an environment without settings; return a fake of the opening of listeners."""
    for name in os.environ:
        if name.startswith("ARC_RELAY_"):
            monkeypatch.delenv(name)
    opening = Mock()
    monkeypatch.setattr(daemon, "open_listeners", opening)
    monkeypatch.setattr(trio, "run", opening)
    return opening


def check(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    """Run the check and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["arc-relay", "start", "--check", *options])
    with pytest.raises(SystemExit) as caught:
        main.main()
    return int(caught.value.code or 0)


def rows(output: str) -> dict[str, list[str]]:
    """Return the value and the source of each setting, by its flag."""
    return {
        flag: [cell.strip() for cell in line.removeprefix(flag).split("  ") if cell]
        for line in output.splitlines()
        for flag in line.split()[:1]
    }


def test_defaults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], opening: Mock
) -> None:
    """Each setting has a line with its effective default, and nothing listens."""
    assert check(monkeypatch) == 0
    found = rows(capsys.readouterr().out)
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    for kind in (DaemonSettings, RelaySettings):
        for name, default, about in iter_fields(kind):
            shown = str(int(limit * 0.9)) if name == "max_connections" else about.display(default)
            assert found.pop(flags_of(name, about)[0]) == [shown, "default"]
    assert found == {}
    assert not opening.called


def test_sources(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    opening: Mock,
) -> None:
    """Each setting has its source; no content of a file is printed, and no control character."""
    token = tmp_path / "token\n"
    token.write_text("canary")
    files = Certificate(tmp_path)
    monkeypatch.setenv("ARC_RELAY_TOKEN_FILE", str(token))
    monkeypatch.setenv("ARC_RELAY_PAIR_TTL", "90")
    monkeypatch.setenv("ARC_RELAY_UNIX_SOCKET", "/run/a")
    assert check(monkeypatch, *files.options, "--no-strict-codes", "--max-connections", "7") == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = rows(out)
    assert found["--token-file"] == [rf"{tmp_path}/token\n", "variable ARC_RELAY_TOKEN_FILE"]
    assert found["--pair-ttl"] == ["90s", "variable ARC_RELAY_PAIR_TTL"]
    assert found["--tls-key"] == [str(files.key), "flag"]
    assert found["--strict-codes"] == ["false", "flag"]
    assert found["--max-connections"] == ["7", "flag"]
    assert found["--port"] == ["unused, because of ARC_RELAY_UNIX_SOCKET", "default"]
    assert "canary" not in out
    expected = "The certificate is for localhost, 127.0.0.1, and expires at 3000-01-01 00:00 UTC."
    assert out.splitlines()[-1] == expected
    assert not opening.called


def test_certificate() -> None:
    """The line has the names without control characters, and the expiry in UTC."""
    line = describe_certificate(Facts(("a.example", "b\n"), 1.8e9))
    expected = r"The certificate is for a.example, b\n, and expires at 2027-01-15 08:00 UTC."
    assert line == expected
    assert "is for no name, and" in describe_certificate(Facts((), 0))


@pytest.mark.usefixtures("opening")
@pytest.mark.parametrize(
    ("options", "status", "problem"),
    [
        (("--port", "x"), 2, "--port must be a whole number from 0 to 65535, not 'x'"),
        (("--token-file", "/no"), 1, "cannot read --token-file '/no': No such file or directory"),
        (
            ("--tls-cert", "/no", "--tls-key", "/no"),
            1,
            "cannot read --tls-cert '/no': No such file or directory",
        ),
    ],
)
def test_errors(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    status: int,
    problem: str,
) -> None:
    """An error has the message and the status of a start."""
    assert check(monkeypatch, *options) == status
    assert capsys.readouterr() == ("", f"arc-relay: {problem}\n")
