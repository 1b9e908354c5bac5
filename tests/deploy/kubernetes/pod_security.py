"""Restricted Pod Security Standard, as a labelled namespace enforces it."""

from __future__ import annotations

from collections.abc import Iterator

from .manifests import Manifest

__all__ = ["violations"]

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def violations(pod: Manifest) -> set[str]:
    """Return the fields in which a pod violates the standard."""
    found = {each for each in ("hostNetwork", "hostPID", "hostIPC") if pod.get(each)}
    for volume in pod.get("volumes", ()):
        if not VOLUMES.issuperset(volume.keys() - {"name"}):
            found.add("volumes")
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for container in pod.get(kind, ()):
            found |= {*too_far(pod.get("securityContext", {}) | container["securityContext"])}
            found |= {*reaching_out(container)}
    return found


def too_far(context: Manifest) -> Iterator[str]:
    """Return the fields of a container's context, its pod's included, that allow too much."""
    capabilities = context.get("capabilities", {})
    seccomp = context.get("seccompProfile", {}).get("type")
    kept = {
        "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation") is False,
        "appArmorProfile": context.get("appArmorProfile", {}).get("type") != "Unconfined",
        "capabilities": "ALL" in capabilities.get("drop", ())
        and {"NET_BIND_SERVICE"}.issuperset(capabilities.get("add", ())),
        "privileged": not context.get("privileged"),
        "procMount": context.get("procMount", "Default") == "Default",
        "runAsNonRoot": context.get("runAsNonRoot") is True,
        "runAsUser": context.get("runAsUser") != 0,
        "seLinuxOptions": not context.get("seLinuxOptions"),
        "seccompProfile": seccomp in {"RuntimeDefault", "Localhost"},
        "sysctls": not context.get("sysctls"),
    }
    return (field for field, well in kept.items() if not well)


def reaching_out(container: Manifest) -> Iterator[str]:
    """Return the fields by which a container or a probe of it reaches its node."""
    if any("hostPort" in port for port in container.get("ports", ())):
        yield "hostPort"
    questions = [*container.get("lifecycle", {}).values()]
    questions += [value for name, value in container.items() if name.endswith("Probe")]
    if any(
        "host" in question.get(way, ())
        for question in questions
        for way in ("httpGet", "tcpSocket")
    ):
        yield "host"
