"""`arc-relay start`: run a relay with the settings of the command line, or check them."""

from __future__ import annotations

import gc
import inspect
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import trio
import typer

from ..daemon.certificate_expiry import Certificate
from ..daemon.errors import escaped
from ..daemon.settings import DaemonSettings
from ..fields import Definition, iter_fields
from ..limits.admission import AdmissionControl
from ..settings import RelaySettings
from ..transport.descriptor_limit import descriptor_limit, raise_descriptor_limit
from .options import flags_of, options, read_settings, refuse_unknown_variables, variable_of

CHECK: Final = typer.Option(
    "--check", help="Read the files, print each setting and its source, and exit."
)


def start(*, check: bool, **flags: Any) -> None:
    """Run the relay until SIGINT or SIGTERM."""
    # The other commands do not need these modules. Without them, `share` takes 9 MiB less memory.
    from ..daemon.logging import configure_logging  # noqa: PLC0415 - see above
    from ..daemon.run import load_files, run  # noqa: PLC0415 - likewise

    refuse_unknown_variables()
    daemon_settings = read_settings(DaemonSettings, flags)
    relay_settings = read_settings(RelaySettings, flags)
    raise_descriptor_limit()
    if check:
        tls = load_files(daemon_settings, relay_settings)
        typer.echo(settings_table(daemon_settings, relay_settings))
        if tls and tls.certificate:
            typer.echo(describe_certificate(tls.certificate))
        return
    log = configure_logging(daemon_settings.log_format, daemon_settings.log_level)
    # Collect garbage less often than by default. A closed connection leaves few reference cycles,
    # but with the default thresholds, the collections took a third of the CPU time of a new pair.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    trio.run(run, daemon_settings, relay_settings, log)


def settings_table(daemon_settings: DaemonSettings, relay_settings: RelaySettings) -> str:
    """Return a table with a line for each setting: its flag, its value and its source.

    A setting that names a file is displayed as a path. The table never has the content of a file.
    """
    rows = [
        (
            flags_of(item.name, item.field)[0],
            effective_value(item, getattr(settings, item.name), daemon_settings),
            source(item.name, daemon_settings),
        )
        for settings in (daemon_settings, relay_settings)
        for item in iter_fields(settings)
    ]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:2]]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in rows)


def describe_certificate(certificate: Certificate) -> str:
    """Return the names and the expiry of a certificate in one line."""
    names = escaped(", ".join(certificate.names)) or "no name"
    expiry = datetime.fromtimestamp(certificate.expiry, UTC)
    return f"The certificate is for {names}, and expires at {expiry:%Y-%m-%d %H:%M} UTC."


def effective_value(item: Definition, value: Any, settings: DaemonSettings) -> str:
    """Return the value that a relay with ``settings`` would use for the setting ``item``."""
    if item.name in {"host", "port"} and not settings.tcp:
        return f"unused, because of {settings.option('unix_socket')}"
    if item.name == "max_connections":
        control = AdmissionControl(max_connections=value, descriptors=descriptor_limit())
        value = control.max_connections
    return escaped(item.field.display(value))


def source(name: str, settings: DaemonSettings) -> str:
    """Return the source of a setting: flag, variable or default."""
    given = settings.given.get(name)
    if given is None:
        return "default"
    return f"variable {given}" if given == variable_of(name) else "flag"


_check = inspect.Parameter(
    "check", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, CHECK]
)
start.__signature__ = inspect.Signature([_check, *options()])  # type: ignore[attr-defined]
