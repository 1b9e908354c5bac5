"""Find the exceptions in nested exception groups, and log them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from traceback import format_tb

logger = logging.getLogger("relay")


def leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    """Yield the exceptions of a group and of its nested groups, but not the groups themselves."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def log_failures(failures: BaseExceptionGroup[Exception]) -> None:
    """Log the exceptions that ended a connection.

    Only the type and the traceback of an exception are logged. Its message is omitted, because it
    could quote client data.
    """
    for failure in leaves(failures):
        logger.error("a connection failed: %s", type(failure).__name__)
        logger.debug("it failed at:\n%s", "".join(format_tb(failure.__traceback__)))
