"""Exceptions of nested exception groups."""

from __future__ import annotations

from collections.abc import Iterator


def leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    """Yield the exceptions of a group and of its nested groups, without the groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error
