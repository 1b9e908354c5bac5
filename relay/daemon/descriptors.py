"""Limit of open descriptors, which bounds the number of connections."""

from __future__ import annotations

import resource
from contextlib import suppress


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open descriptors to the hard limit, if the system allows it.

    Each connection uses one descriptor. The usual soft limit, 1024, protects programs that use
    select(2).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # the kernel or a sandbox refuses
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
