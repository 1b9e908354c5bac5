"""The unit that `arc-relay share --systemd` prints."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from relay.cli.endpoint.systemd_unit import quote, unit_for
from relay.cli.endpoint.targets import Command, StandardStreams, Target, parse_target

VIA = "https://relay.example"


def command(unit: str) -> str:
    """Return the command of a unit without the program."""
    (line,) = re.findall(r"^ExecStart=.* share (.*)$", unit, re.MULTILINE)
    assert isinstance(line, str)
    return line


def test_options() -> None:
    """The command has the same options, the link file of the unit, and the target."""
    unit = unit_for(
        parse_target(["ssh"]), VIA, "", {"--ca": "/a b", "--x": ""}, {"--quiet": True, "--y": False}
    )
    assert command(unit) == (
        '--via wss://relay.example/ --ca "/a b" --quiet'
        " --link-file %S/arc-relay-share/link 127.0.0.1:22"
    )
    assert "LoadCredential" not in unit


def test_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is the installed script, or else the interpreter with the package."""
    target = parse_target(["ssh"])
    monkeypatch.setattr(sys, "argv", ["/opt/x/bin/arc-relay"])
    assert "\nExecStart=/opt/x/bin/arc-relay share " in unit_for(target, VIA, "", {}, {})
    monkeypatch.setattr(sys, "argv", ["/opt/relay/__main__.py"])
    assert f"\nExecStart={sys.executable} -m relay share " in unit_for(target, VIA, "", {}, {})


def test_token() -> None:
    """The unit gets a copy of the token file, because its user cannot read the file."""
    unit = unit_for(parse_target(["ssh"]), VIA, "/etc/token 1%", {}, {})
    assert "\nLoadCredential=token:/etc/token 1%%\n" in unit
    assert "--token-file %d/token 127" in command(unit)


@pytest.mark.parametrize(
    ("target", "via", "problem"),
    [
        (StandardStreams(), VIA, "standard input"),
        (Command(("a",)), None, "needs --via"),
        (Command(("a",)), "ftp://x", "must begin with"),
    ],
)
def test_wrong_usage(target: Target, via: str | None, problem: str) -> None:
    """Options that make no unit are refused."""
    with pytest.raises(ValueError, match=problem):
        unit_for(target, via, "", {}, {})


def test_token_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit does not have the variables of the shell."""
    monkeypatch.setenv("ARC_RELAY_CLIENT_TOKEN", "x")
    with pytest.raises(ValueError, match="needs --token-file in place of"):
        unit_for(Command(("a",)), VIA, "", {}, {})


def test_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path of a socket becomes absolute."""
    monkeypatch.chdir("/run")
    assert command(unit_for(parse_target(["unix:x"]), VIA, "", {}, {})).endswith(" unix:/run/x")


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("a", "a"),
        ("", '""'),
        ("100%", "100%%"),
        ("$HOME", '"$$HOME"'),
        ('"\\', '"\\"\\\\"'),
        ("a\n;", '"a\\x0a;"'),
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
    unit = unit_for(parse_target(words), VIA, str(tmp_path / "token"), {"--max-guests": "3"}, {})
    path = tmp_path / "arc-relay-share.service"
    path.write_text(unit)
    done = subprocess.run(
        [analyze, "verify", "--man=no", path], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if path.name in line]
    assert ours == []
