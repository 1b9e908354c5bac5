"""How many connections the system lets the process have."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress

__all__ = ["raise_descriptor_limit"]


def raise_descriptor_limit() -> int:
    """Raise the limit of open descriptors as far as this process may; return the one in force.

    Each connection takes one. The usual limit, 1024, is there for programs that use select(2); a
    sandbox may refuse to lift it. No limit at all is `sys.maxsize`.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # a refusal is the one or the other
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
