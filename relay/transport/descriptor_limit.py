"""Limit on open descriptors, which bounds the number of connections."""

from __future__ import annotations

import resource
from contextlib import suppress


def descriptor_limit() -> int:
    """Return the descriptor limit of this process (RLIMIT_NOFILE); 0 means no limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if limit == resource.RLIM_INFINITY else limit


def raise_descriptor_limit() -> None:
    """Raise the soft limit on open descriptors to the hard limit, if the system allows this.

    Each connection uses one descriptor. The usual soft limit of 1024 exists for programs that call
    select(2), which the relay does not.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # the kernel or a sandbox refuses
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
