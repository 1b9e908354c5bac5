"""The limit of open descriptors."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator

import pytest

from relay.daemon.descriptors import raise_descriptor_limit

NOFILE = resource.RLIMIT_NOFILE


@pytest.fixture
def lowered() -> Iterator[int]:
    """Lower the soft limit of this process during a test; return the hard limit."""
    before = resource.getrlimit(NOFILE)
    resource.setrlimit(NOFILE, (256, before[1]))
    yield before[1]
    resource.setrlimit(NOFILE, before)


def test_raised(lowered: int) -> None:
    """The soft limit is raised to the hard limit; a second call changes nothing."""
    assert raise_descriptor_limit() == lowered
    assert resource.getrlimit(NOFILE) == (lowered, lowered)
    assert raise_descriptor_limit() == lowered


@pytest.mark.parametrize(
    "refusal", [ValueError("not allowed to raise maximum limit"), PermissionError()]
)
def test_refused(lowered: int, refusal: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that may not raise the limit keeps the old one."""

    def refuse(_kind: int, _limits: tuple[int, int]) -> None:
        raise refusal

    with monkeypatch.context() as patch:
        patch.setattr(resource, "setrlimit", refuse)
        assert raise_descriptor_limit() == 256


def test_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unlimited number counts as a very large one."""
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (resource.RLIM_INFINITY,) * 2)
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, _limits: None)
    assert raise_descriptor_limit() == sys.maxsize
