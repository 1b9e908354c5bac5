"""`arc-relay start --check`: the effective settings and their sources, as a table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..daemon.certificate_expiry import Certificate
from ..daemon.errors import escaped
from ..daemon.settings import DaemonSettings
from ..fields import Definition, iter_fields
from ..limits.admission import AdmissionControl
from ..settings import RelaySettings
from ..transport.socket_info import descriptor_limit
from .options import flags_of, variable_of


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
