"""Restrictions of the relay's pod."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from .manifests import Manifest, Manifests
from .pod_security import violations


def test_restricted(manifests: Manifests) -> None:
    """A namespace that enforces the restricted standard accepts the pods."""
    assert violations(manifests.pod) == set()
    own = manifests.container["securityContext"]
    assert own["readOnlyRootFilesystem"]
    assert not {"volumes", "initContainers", "serviceAccountName"} & manifests.pod.keys()
    assert manifests.pod["automountServiceAccountToken"] is False


def less(*path: str | int) -> Callable[[Manifest], None]:
    """Return a function that removes a field."""

    def change(node: Any) -> None:
        for key in path[:-1]:
            node = node[key]
        del node[path[-1]]

    return change


def more(*path: str | int, value: object) -> Callable[[Manifest], None]:
    """Return a function that sets a field."""

    def change(node: Any) -> None:
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value

    return change


OWN = ("containers", 0, "securityContext")
LOOSE = {
    "allowPrivilegeEscalation": less(*OWN, "allowPrivilegeEscalation"),
    "capabilities": more(*OWN, "capabilities", "add", value=["NET_ADMIN"]),
    "host": more("containers", 0, "livenessProbe", "httpGet", "host", value="10.0.0.1"),
    "hostNetwork": more("hostNetwork", value=True),
    "hostPort": more("containers", 0, "ports", 0, "hostPort", value=8765),
    "privileged": more(*OWN, "privileged", value=True),
    "runAsNonRoot": less("securityContext", "runAsNonRoot"),
    "runAsUser": more(*OWN, "runAsUser", value=0),
    "seccompProfile": less("securityContext", "seccompProfile"),
    "volumes": more("volumes", value=[{"name": "node", "hostPath": {"path": "/"}}]),
}


@pytest.mark.parametrize("field", LOOSE)
def test_unrestricted(alone: Manifests, field: str) -> None:
    """The check finds a pod that violates the standard."""
    pod = copy.deepcopy(alone.pod)
    LOOSE[field](pod)
    assert violations(pod) == {field}
