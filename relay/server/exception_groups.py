"""Exceptions of nested exception groups."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from traceback import format_tb

logger = logging.getLogger("relay")


def leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    """Yield the exceptions in an exception group and its nested groups, but no group itself."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def log_failures(failures: BaseExceptionGroup[Exception]) -> None:
    """Log the exceptions that ended a connection.

    The log gets only the type and the place of each, because a message could quote client data.
    """
    for failure in leaves(failures):
        logger.error("a connection failed: %s", type(failure).__name__)
        logger.debug("it failed at:\n%s", "".join(format_tb(failure.__traceback__)))
