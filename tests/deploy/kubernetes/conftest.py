"""Fixtures of the manifest tests: the manifests as kustomize builds them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .manifests import KUBERNETES, ROOT, Manifests, build

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.deploy)


@pytest.fixture(scope="session")
def alone() -> Manifests:
    """Return the manifests of one relay without components."""
    return build(KUBERNETES)


@pytest.fixture(scope="session")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """Return the manifests of the documented kustomization, which has every component."""
    folder = tmp_path_factory.mktemp("documented")
    shutil.copytree(KUBERNETES, folder / "arc-relay" / "deploy" / "kubernetes")
    document = (ROOT / "docs" / "kubernetes.md").read_text()
    shown = document.partition("```yaml\n")[2].partition("```")[0]
    (folder / "kustomization.yaml").write_text(shown)
    return build(folder)


@pytest.fixture(params=["alone", "documented"])
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """Return the manifests of one relay, and those with every component."""
    manifests: Manifests = request.getfixturevalue(request.param)
    return manifests
