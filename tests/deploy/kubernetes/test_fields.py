"""Clusters know the kinds and fields of the manifests."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest

from .custom_kinds import CUSTOM
from .manifests import KUBERNETES, Manifests, build, kustomize, paths

COMPONENTS = ("gateway", "several", "metrics")
OLDEST = "1.30"
"""First Kubernetes version with everything that the manifests use."""


@pytest.fixture
def checker() -> Any:
    """Return the checker with the schemas of Kubernetes."""
    name = "kubernetes_validate"
    return pytest.importorskip(name, reason=f"NOT TESTED: {name} is not installed")


@pytest.mark.parametrize("version", [OLDEST, "latest"])
def test_fields(manifests: Manifests, checker: Any, version: str) -> None:
    """The oldest and the newest Kubernetes know every field."""
    wanted = checker.latest_version() if version == "latest" else version
    for manifest in manifests:
        if (manifest["apiVersion"], manifest["kind"]) not in CUSTOM:
            checker.validate(manifest, wanted, strict=True)


def test_unknown_field(alone: Manifests, checker: Any) -> None:
    """The checker finds a misspelt field."""
    deployment = copy.deepcopy(alone.the("Deployment"))
    pod = deployment["spec"]["template"]["spec"]
    pod["enableServiceLink"] = pod.pop("enableServiceLinks")
    with pytest.raises(checker.ValidationError):
        checker.validate(deployment, OLDEST, strict=True)


def test_fields_of_custom_kinds(documented: Manifests) -> None:
    """All fields of the custom kinds are among the known ones."""
    for manifest in documented:
        known = CUSTOM.get((manifest["apiVersion"], manifest["kind"]))
        if known is not None:
            assert set(paths({"spec": manifest["spec"]})) <= known


def test_kinds(alone: Manifests, documented: Manifests) -> None:
    """One relay alone needs no optional kind; all kinds are known."""
    assert sorted(each["kind"] for each in alone) == [
        "Deployment",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
    ]
    others = {(each["apiVersion"], each["kind"]) for each in documented}
    assert others >= CUSTOM.keys()


@pytest.mark.parametrize("component", COMPONENTS)
def test_component_alone(component: str, tmp_path: Path) -> None:
    """Each component works without the others, and keeps the variables of the relay."""
    shutil.copytree(KUBERNETES, tmp_path / "here")
    text = f"resources: [here]\ncomponents: [here/{component}]\n"
    (tmp_path / "kustomization.yaml").write_text(text)
    assert build(tmp_path).variables.items() >= build(KUBERNETES).variables.items()


def test_unknown_key_of_kustomize(tmp_path: Path) -> None:
    """Kustomize refuses an unknown key."""
    shutil.copytree(KUBERNETES, tmp_path / "here")
    file = tmp_path / "here" / "kustomization.yaml"
    file.write_text(file.read_text().replace("resources:", "resource:"))
    assert kustomize(file.parent).returncode != 0
