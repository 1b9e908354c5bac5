"""Print the reference of all settings, docs/settings.md."""

from __future__ import annotations

from typing import cast

from typer.core import TyperGroup, TyperOption
from typer.main import get_command

from relay.cli.main import app
from relay.cli.options import KINDS, flags_of, variable_of
from relay.daemon.settings import DaemonSettings
from relay.fields import iter_fields
from relay.settings import RelaySettings

HEAD = """\
# Settings

Each setting of `arc-relay start` has a flag and a variable. A flag overrides a variable, and a
variable overrides the default. An empty variable counts as unset. An unknown variable that begins
with `ARC_RELAY_` prevents the start, so that no misspelt setting is overlooked.

A time is a number of seconds, or a number with one of the units `s`, `m`, `h` and `d`: `90`, `90s`,
`5m`. A size is a number of bytes, or a number with one of the units `kB`, `MB`, `GB` (powers of
1000), `KiB`, `MiB` and `GiB` (powers of 1024): `10MB`, `64KiB`.

In Kubernetes, a Service with the name `arc-relay` adds such variables to every pod of its
namespace, among them `ARC_RELAY_PORT`. Give the Service another name, or set
`enableServiceLinks: false` in the pod.

`python docs/generate_settings.py` prints this file from the definitions of the settings.
"""


def reference() -> str:
    """Return the reference, in Markdown."""
    return "\n".join(
        [
            HEAD,
            "## Settings of the process",
            "",
            *table(DaemonSettings),
            "",
            "## Settings of the relay",
            "",
            "A program that embeds the relay passes them as `RelaySettings`, in seconds and bytes:",
            "`--pair-ttl 1m` is `RelaySettings(pair_ttl=60)`.",
            "",
            *table(RelaySettings),
            "",
            "## Other options",
            "",
            *option_table(),
            "",
        ]
    )


def table(kind: type) -> list[str]:
    """Return the lines of a table of settings."""
    lines = ["| flag | variable | default | meaning | values |", "|---|---|---|---|---|"]
    for name, default, about in iter_fields(kind):
        flags = ", ".join(f"`{flag}`" for flag in flags_of(name, about))
        shown = about.display(default)
        cell = shown if default in (None, "", ()) else f"`{shown}`"
        row = (flags, f"`{variable_of(name)}`", cell, about.help, about.values)
        lines.append(f"| {' | '.join(row)} |")
    return lines


def option_table() -> list[str]:
    """Return the lines of a table of the options that are no settings."""
    lines = ["| command | option | default | meaning |", "|---|---|---|---|"]
    names = {name for kind in KINDS for name, _, _ in iter_fields(kind)}
    group = cast("TyperGroup", get_command(app))
    for command, function in sorted(group.commands.items()):
        for option in function.params:
            setting = command == "start" and option.name in names
            if isinstance(option, TyperOption) and not setting:
                flag = f"`{' '.join(filter(None, (option.opts[0], option.metavar)))}`"
                default = f"`{option.default}`" if option.default else ""
                lines.append(f"| `{command}` | {flag} | {default} | {option.help} |")
    return lines


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - the document is the output
