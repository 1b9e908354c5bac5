"""`arc-relay start`: run a relay with the settings of the command line."""

from __future__ import annotations

import gc
import inspect
from typing import Any

import trio

from ..daemon.descriptors import raise_descriptor_limit
from ..daemon.logging import configure_logging
from ..daemon.run import run
from ..daemon.settings import DaemonSettings
from ..settings import RelaySettings
from .options import options, read_settings, refuse_unknown_variables


def start(**flags: Any) -> None:
    """Run the relay until SIGINT or SIGTERM."""
    refuse_unknown_variables()
    daemon_settings = read_settings(DaemonSettings, flags)
    relay_settings = read_settings(RelaySettings, flags)
    log = configure_logging(daemon_settings.log_format, daemon_settings.log_level)
    raise_descriptor_limit()
    # Collect garbage less often. With the default thresholds, collections took a third of the
    # cost of a new pair, and a closed connection leaves few reference cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    trio.run(run, daemon_settings, relay_settings, log)


start.__signature__ = inspect.Signature(options())  # type: ignore[attr-defined]
