"""The manifests agree with each other, with the image, and with the relay's settings."""

from __future__ import annotations

import json
import re
import tomllib

from relay import RelaySettings

from .manifests import ROOT, Manifests

CONTAINERFILE = (ROOT / "Containerfile").read_text()
MIB = 1 << 20
KIB = 1 << 10


def test_several_relays_require_strict_codes(alone: Manifests, documented: Manifests) -> None:
    """There is one relay unless codes are strict; an update keeps the number of relays."""
    assert alone.deployment["replicas"] == 1
    assert documented.deployment["replicas"] > 1
    assert documented.variables["ARC_RELAY_STRICT_CODES"] == "true"
    for manifests in (alone, documented):
        rolling = manifests.deployment["strategy"]["rollingUpdate"]
        assert rolling["maxUnavailable"] == 0


def test_image(alone: Manifests, documented: Manifests) -> None:
    """The image is run as its Containerfile says: version, user, port, command."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert alone.container["image"] == f"arc-relay:{version}"
    assert documented.container["image"].endswith(f"/arc-relay:{version}")
    assert f'image.version="{version}"' in CONTAINERFILE
    context = alone.pod["securityContext"]
    user = re.search(r"^USER (\d+):(\d+)$", CONTAINERFILE, re.MULTILINE)
    assert user is not None
    assert (str(context["runAsUser"]), str(context["runAsGroup"])) == user.groups()
    assert f"\nEXPOSE {alone.ports['relay']}\n" in CONTAINERFILE
    assert not {"command", "args"} & alone.container.keys()
    assert json.loads(CONTAINERFILE.rpartition("\nCMD ")[2]) == ["start"]


def test_selectors(manifests: Manifests) -> None:
    """Every selector of pods selects the relay's."""
    chosen = [manifests.deployment["selector"]["matchLabels"]]
    chosen += [each["spec"]["selector"] for each in manifests.of("Service")]
    chosen += [
        each["spec"]["selector"]["matchLabels"] for each in manifests.of("PodDisruptionBudget")
    ]
    chosen += [each["spec"]["podSelector"]["matchLabels"] for each in manifests.of("NetworkPolicy")]
    chosen += [
        each["labelSelector"]["matchLabels"]
        for each in manifests.pod.get("topologySpreadConstraints", ())
    ]
    assert all(labels and labels.items() <= manifests.labels.items() for labels in chosen)


def test_ports(manifests: Manifests) -> None:
    """Every named port is a port of the relay's container, with the same number."""
    for service in manifests.of("Service"):
        for port in service["spec"]["ports"]:
            assert port["port"] == manifests.ports[port["targetPort"]]
    for probe in ("readinessProbe", "livenessProbe"):
        assert manifests.container[probe]["httpGet"]["port"] == "relay"
    metrics = manifests.variables.get("ARC_RELAY_METRICS", "").rpartition(":")[2]
    assert metrics == str(manifests.ports.get("metrics", ""))


def test_who_may_connect(manifests: Manifests) -> None:
    """Each port is open to the pods of one namespace, and the relay connects to no other pod."""
    policies = [each["spec"] for each in manifests.of("NetworkPolicy")]
    rules = [rule for policy in policies for rule in policy["ingress"]]
    open_to = {
        port["port"]: peer["namespaceSelector"]["matchLabels"]
        for rule in rules
        for port in rule["ports"]
        for peer in rule["from"]
    }
    assert open_to.keys() == manifests.ports.keys()
    assert len(rules) == len(open_to)
    assert all(labels.keys() == {"kubernetes.io/metadata.name"} for labels in open_to.values())
    assert any("Egress" in policy["policyTypes"] for policy in policies)
    assert not any("egress" in policy for policy in policies)


def test_time_to_stop(manifests: Manifests) -> None:
    """The grace period is longer than the sleep and the longest stop of the relay."""
    settings = RelaySettings()
    sleep = manifests.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = float(manifests.variables.get("ARC_RELAY_DRAIN_DELAY", settings.drain_delay))
    assert sleep + drain + settings.close_timeout < manifests.pod["terminationGracePeriodSeconds"]
    assert sleep > 0


def test_memory(manifests: Manifests) -> None:
    """The memory limit suffices if every side reads slowly: see "Sizing" in docs/operations.md."""
    limit = manifests.container["resources"]["limits"]["memory"]
    sides = int(manifests.variables["ARC_RELAY_MAX_CONNECTIONS"])
    slow = (127 + 64) * KIB
    assert limit == "1Gi"
    assert 50 * MIB + sides * slow + sides // 2 * 22 * KIB < 1024 * MIB


def test_nothing_of_the_cluster_becomes_a_setting(manifests: Manifests) -> None:
    """A Service called arc-relay would set ARC_RELAY_PORT; the pod has no such variables."""
    assert manifests.the("Service")["metadata"]["name"] == "arc-relay"
    assert manifests.pod["enableServiceLinks"] is False


def test_drain_of_a_node(manifests: Manifests) -> None:
    """One relay may always be evicted, also if it is the only one."""
    budget = manifests.the("PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert "minAvailable" not in budget
