"""Limit of open descriptors, which bounds the number of connections."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open descriptors to the hard limit; return the limit in force.

    Each connection uses one descriptor. The usual soft limit, 1024, protects programs that use
    select(2). A sandbox may refuse the change. `sys.maxsize` stands for no limit.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # the kernel or a sandbox refuses
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
