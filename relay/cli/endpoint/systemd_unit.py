"""systemd unit for `arc-relay share`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ...client.dial_errors import printable
from ...client.link import Link
from ...daemon.program import PROGRAM
from .addresses import UnixAddress
from .targets import StandardStreams, Target, target_words
from .variables import TOKEN

SAFE: Final = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
NAME: Final = "arc-relay-share"

UNIT: Final = """\
# systemd unit for arc-relay share, with a dynamic user. To install it:
#
#   sudo tee /etc/systemd/system/{name}.service <THIS_FILE
#   sudo systemctl daemon-reload && sudo systemctl enable --now {name}.service
#
# The first start makes the link, which later starts keep. It is a secret:
#
#   sudo cat /var/lib/{name}/link
#
# The user of the unit must be able to read the program: install it outside of home directories,
# for example in /opt/arc-relay.

[Unit]
Description=Share {description} through arc-relay
After=network-online.target
Wants=network-online.target
# No limit on restarts: an outage may last.
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={command}
StateDirectory={name}
StateDirectoryMode=0700
{credential}Restart=on-failure
RestartSec=5
# A restart does not fix wrong usage (2) or a refusal by the relay (3). SIGTERM gives status 143.
RestartPreventExitStatus=2 3
SuccessExitStatus=143
TimeoutStopSec=15

# Sandbox: the program needs sockets, and write access to its link. A shared command may need more.
DynamicUser=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
ProtectSystem=strict
ProtectHome=read-only
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
PrivateDevices=yes
PrivateTmp=yes
PrivateUsers=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
PrivateMounts=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
KeyringMode=private
UMask=0077

[Install]
WantedBy=multi-user.target
"""


def unit_for(
    target: Target,
    via: str | None,
    token_file: str,
    options: Mapping[str, str],
    flags: Mapping[str, bool],
) -> str:
    """Return a systemd unit that runs `arc-relay share` with the given options and a link file.

    Args:
        target: Target to share, which must not be standard input and output.
        via: URL of the relay.
        token_file: Path of the file with the token, which the unit loads as a credential; "" if the
            relay needs no token.
        options: Values of further options, keyed by option name. Options with the value "" are left
            out.
        flags: Further options without a value, keyed by option name; True if an option is set.

    Raises ValueError if an option is not possible in a unit.
    """
    if isinstance(target, StandardStreams):
        raise ValueError(  # noqa: TRY004 - of an option
            "--systemd needs a target other than standard input and output"
        )
    if via is None:
        raise ValueError("--systemd needs --via")
    if os.environ.get(TOKEN) and not token_file:
        raise ValueError(f"--systemd needs --token-file in place of the variable {TOKEN}")
    words = [*program(), "share", "--via", Link.new(via).url]
    for flag, value in options.items():
        words += [flag, value] if value else []
    words += [flag for flag, is_set in flags.items() if is_set]
    # Specifiers of systemd: %S is the state directory root, %d the credentials directory.
    command = f"{join(words)} --link-file %S/{NAME}/link"
    credential = ""
    if token_file:
        command += " --token-file %d/token"
        path = str(Path(token_file).absolute()).replace("%", "%%")
        credential = f"LoadCredential=token:{path}\n"
    return UNIT.format(
        name=NAME,
        description=printable(str(target)).replace("%", "%%"),
        command=f"{command} {join(target_words(absolute(target)))}",
        credential=credential,
    )


def absolute(target: Target) -> Target:
    """Return the same target with an absolute path, if it is a Unix socket."""
    if isinstance(target, UnixAddress):
        return UnixAddress(str(Path(target.path).absolute()))
    return target


def program() -> list[str]:
    """Return the command line that runs this program from any working directory."""
    path = Path(sys.argv[0]).absolute()
    return [str(path)] if path.name == PROGRAM else [sys.executable, "-m", "relay"]


def join(words: Sequence[str]) -> str:
    """Quote and join the words of a command line for ExecStart=."""
    return " ".join(map(quote, words))


def quote(word: str) -> str:
    """Quote a word as one argument for ExecStart=. Escape ``%`` and ``$``."""
    plain = word.replace("%", "%%").replace("$", "$$")
    if SAFE.fullmatch(plain):
        return plain
    return f'"{"".join(map(escape, plain.encode(errors="surrogateescape")))}"'


def escape(byte: int) -> str:
    """Escape a byte for use within double quotes."""
    char = chr(byte)
    if char in '"\\':
        return f"\\{char}"
    return char if char.isascii() and char.isprintable() else f"\\x{byte:02x}"
