"""Exceptions of nested exception groups."""

from __future__ import annotations

from collections.abc import Iterator


def leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    """Yield the exceptions in an exception group and its nested groups, but no group itself."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error
