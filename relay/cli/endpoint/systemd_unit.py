"""systemd unit for `arc-relay share`, made from the template beside this module."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from string import Template

from ...client import Link
from ...client.dial import printable
from ...daemon.program import PROGRAM
from .options import TOKEN, ShareOptions
from .targets import Address, parse_target


def unit_for(options: ShareOptions) -> str:
    """Return a unit that runs `arc-relay share` with a link file. Raises ValueError."""
    target = parse_target(options.target or ())
    if options.link_file or options.new:
        raise ValueError("--link-file and --new must be left out: a unit has a link of its own")
    if target is None:
        raise ValueError("--systemd needs a target other than standard input and output")
    if options.via is None:
        raise ValueError("--systemd needs --via")
    if os.environ.get(TOKEN) and not options.token_file:
        raise ValueError(f"--systemd needs --token-file in place of the variable {TOKEN}")
    program = Path(sys.argv[0]).absolute()
    words = [str(program)] if program.name == PROGRAM else [sys.executable, "-m", "relay"]
    words += ["share", "--via", Link.new(options.via).url]
    words += ["--ca", absolute(options.ca)] if options.ca else []
    words += ["--insecure"] if options.insecure else []
    words += ["--resume-timeout", options.resume_timeout, "--max-guests", str(options.max_guests)]
    words += ["--quiet"] if options.quiet else []
    if isinstance(target, Address):
        name = str(replace(target, path=target.path and absolute(target.path)))
        shared = [name]
    else:
        name, shared = target[0], ["--", *target]
    token = options.token_file and absolute(options.token_file).replace("%", "%%")
    # Specifiers of systemd: %S is the state directory root, %d the credentials directory.
    secrets = "--link-file %S/arc-relay-share/link" + (" --token-file %d/token" if token else "")
    template = files(__package__).joinpath("arc-relay-share.service").read_text(encoding="utf-8")
    return Template(template).substitute(
        description=printable(name).replace("%", "%%"),
        command=" ".join([*map(quote, words), secrets, *map(quote, shared)]),
        credential=f"LoadCredential=token:{token}\n" if token else "",
    )


def absolute(path: str) -> str:
    """Return the absolute form of a path. Symbolic links are not followed."""
    return str(Path(path).absolute())


def quote(word: str) -> str:
    """Quote a word as one argument for ExecStart=. Escape ``%`` and ``$``."""
    plain = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w@%+=:,./-]+", plain, re.ASCII):
        return plain
    # systemd understands the escape sequences of JSON, and \xNN for a byte.
    quoted = json.dumps(plain, ensure_ascii=False).encode(errors="surrogateescape")
    return quoted.decode("ascii", errors="backslashreplace")
