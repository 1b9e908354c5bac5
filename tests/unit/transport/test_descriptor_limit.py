"""The limit of open descriptors."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from relay.transport.descriptor_limit import descriptor_limit, raise_descriptor_limit

NOFILE = resource.RLIMIT_NOFILE


def test_descriptor_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is the soft one, and 0 stands for no limit."""
    soft, _ = resource.getrlimit(NOFILE)
    assert descriptor_limit() == soft
    monkeypatch.setattr(resource, "getrlimit", lambda _: (17, 18))
    assert descriptor_limit() == 17
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert descriptor_limit() == 0


@pytest.fixture
def lowered() -> Iterator[int]:
    """Lower the soft limit of this process during a test; return the hard limit."""
    before = resource.getrlimit(NOFILE)
    resource.setrlimit(NOFILE, (256, before[1]))
    yield before[1]
    resource.setrlimit(NOFILE, before)


def test_raised(lowered: int) -> None:
    """The soft limit is raised to the hard limit; a second call changes nothing."""
    for _ in range(2):
        raise_descriptor_limit()
        assert resource.getrlimit(NOFILE) == (lowered, lowered)


@pytest.mark.parametrize(
    "refusal", [ValueError("not allowed to raise maximum limit"), PermissionError()]
)
def test_refused(lowered: int, refusal: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the kernel refuses the change, the old limit stays in force."""

    def refuse(_kind: int, _limits: tuple[int, int]) -> None:
        raise refusal

    with monkeypatch.context() as patch:
        patch.setattr(resource, "setrlimit", refuse)
        raise_descriptor_limit()
    assert resource.getrlimit(NOFILE) == (256, lowered)
