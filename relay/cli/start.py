"""`arc-relay start`: run a relay with the settings of the command line, or check them."""

from __future__ import annotations

import gc
import inspect
from typing import Annotated, Any, Final

import trio
import typer

from ..daemon.descriptors import raise_descriptor_limit
from ..daemon.logging import configure_logging
from ..daemon.run import load_files, run
from ..daemon.settings import DaemonSettings
from ..settings import RelaySettings
from .check import describe_certificate, settings_table
from .options import options, read_settings, refuse_unknown_variables

CHECK: Final = typer.Option(
    "--check", help="Read the files, print each setting and its source, and exit."
)


def start(*, check: bool, **flags: Any) -> None:
    """Run the relay until SIGINT or SIGTERM."""
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


_check = inspect.Parameter(
    "check", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, CHECK]
)
start.__signature__ = inspect.Signature([_check, *options()])  # type: ignore[attr-defined]
