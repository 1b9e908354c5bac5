"""The unit that `arc-relay share --systemd` prints."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from relay.cli.endpoint.options import ShareOptions
from relay.cli.endpoint.systemd_unit import quote, unit_for

VIA = "https://relay.example"


def command(text: str) -> str:
    """Return the command of a unit without the program."""
    (line,) = re.findall(r"^ExecStart=.* share (.*)$", text, re.MULTILINE)
    assert isinstance(line, str)
    return line


def unit(*target: str, **options: Any) -> str:
    """Return the unit for a target."""
    return unit_for(ShareOptions(**{"target": [*target], "via": VIA, **options}))


def test_options() -> None:
    """The command has the same options, the link file of the unit, and the target."""
    text = unit("ssh", ca="/a b", insecure=True, resume_timeout="1h", max_guests=7, quiet=True)
    assert command(text) == (
        '--via wss://relay.example/ --ca "/a b" --insecure --resume-timeout 1h --max-guests 7'
        " --quiet --link-file %S/arc-relay-share/link 127.0.0.1:22"
    )
    assert "\nDescription=Share 127.0.0.1:22 through arc-relay\n" in text
    assert "LoadCredential" not in text
    assert "\n\n[Install]\n" in text


def test_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is the installed script, or else the interpreter with the package."""
    monkeypatch.setattr(sys, "argv", ["/opt/x/bin/arc-relay"])
    assert "\nExecStart=/opt/x/bin/arc-relay share " in unit("ssh")
    monkeypatch.setattr(sys, "argv", ["/opt/relay/__main__.py"])
    assert f"\nExecStart={sys.executable} -m relay share " in unit("ssh")


def test_token() -> None:
    """The unit gets a copy of the token file, because its user cannot read the file."""
    text = unit("ssh", token_file="/etc/token 1%")  # noqa: S106 - a path
    assert "\nLoadCredential=token:/etc/token 1%%\nRestart=" in text
    assert "--token-file %d/token 127" in command(text)


def test_command() -> None:
    """The description has only the program of a command, whose arguments may be secret."""
    text = unit("--", "100%", "a b")
    assert "\nDescription=Share 100%% through" in text
    assert command(text).endswith('/link -- 100%% "a b"')


@pytest.mark.parametrize(
    ("target", "via", "problem"),
    [
        ("-", VIA, "standard input"),
        ("ssh", None, "needs --via"),
        ("ssh", "ftp://x", "must begin with"),
    ],
)
def test_wrong_usage(target: str, via: str | None, problem: str) -> None:
    """Options that make no unit are refused."""
    with pytest.raises(ValueError, match=problem):
        unit(target, via=via)


def test_token_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit does not have the variables of the shell."""
    monkeypatch.setenv("ARC_RELAY_CLIENT_TOKEN", "x")
    with pytest.raises(ValueError, match="needs --token-file in place of"):
        unit("ssh")


def test_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path of a socket becomes absolute."""
    monkeypatch.chdir("/run")
    assert command(unit("unix:x")).endswith(" unix:/run/x")


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("a", "a"),
        ("", '""'),
        ("100%", "100%%"),
        ("$HOME", '"$$HOME"'),
        ('"\\', '"\\"\\\\"'),
        ("a\n;", '"a\\n;"'),
        ("\udcff", '"\\xff"'),
        ("\N{EURO SIGN}", '"\\xe2\\x82\\xac"'),
    ],
)
def test_quote(word: str, quoted: str) -> None:
    """A word stays one argument, without specifiers and variables."""
    assert quote(word) == quoted


def test_verify(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds no fault."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("NOT TESTED: systemd-analyze is not installed")
    words = ["--", "sh", "-c", 'echo "$0 %n" ; exit', "é"]
    path = tmp_path / "arc-relay-share.service"
    path.write_text(unit(*words, token_file=str(tmp_path / "token")))
    done = subprocess.run(
        [analyze, "verify", "--man=no", path], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if path.name in line]
    assert ours == []
