"""The manifests for Kubernetes: what a cluster would say to them, and whether they agree."""

from __future__ import annotations

import copy
import json
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relay import RelaySettings

from .manifests import KUBERNETES, ROOT, Manifest, Manifests, build, kustomize, load, paths
from .pod_security import violations

pytestmark = pytest.mark.deploy

COMPONENTS = ("gateway", "several", "metrics")
OLDEST = "1.30"
"""The first Kubernetes that has all that the manifests use."""
CONTAINERFILE = (ROOT / "Containerfile").read_text()
MIB = 1 << 20
KIB = 1 << 10

GATEWAY = "gateway.networking.k8s.io/v1"
ENVOY = "gateway.envoyproxy.io/v1alpha1"
CUSTOM = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): {
        "spec.endpoints[].port",
        "spec.selector.matchLabels.app.kubernetes.io/component",
        "spec.selector.matchLabels.app.kubernetes.io/name",
    },
    (GATEWAY, "Gateway"): {
        "spec.gatewayClassName",
        "spec.infrastructure.parametersRef.group",
        "spec.infrastructure.parametersRef.kind",
        "spec.infrastructure.parametersRef.name",
        "spec.listeners[].hostname",
        "spec.listeners[].name",
        "spec.listeners[].port",
        "spec.listeners[].protocol",
        "spec.listeners[].tls.certificateRefs[].name",
    },
    (GATEWAY, "HTTPRoute"): {
        "spec.hostnames[]",
        "spec.parentRefs[].name",
        "spec.rules[].backendRefs[].name",
        "spec.rules[].backendRefs[].port",
    },
    (ENVOY, "EnvoyProxy"): {
        "spec.telemetry.accessLog.settings[].format.text",
        "spec.telemetry.accessLog.settings[].format.type",
        "spec.telemetry.accessLog.settings[].sinks[].file.path",
        "spec.telemetry.accessLog.settings[].sinks[].type",
    },
    (ENVOY, "BackendTrafficPolicy"): {
        "spec.circuitBreaker.maxConnections",
        "spec.circuitBreaker.maxParallelRequests",
        "spec.circuitBreaker.maxPendingRequests",
        "spec.healthCheck.active.healthyThreshold",
        "spec.healthCheck.active.http.path",
        "spec.healthCheck.active.interval",
        "spec.healthCheck.active.timeout",
        "spec.healthCheck.active.type",
        "spec.healthCheck.active.unhealthyThreshold",
        "spec.healthCheck.panicThreshold",
        "spec.loadBalancer.consistentHash.queryParams[].name",
        "spec.loadBalancer.consistentHash.type",
        "spec.loadBalancer.type",
        "spec.targetRefs[].group",
        "spec.targetRefs[].kind",
        "spec.targetRefs[].name",
        "spec.tcpKeepalive.idleTime",
        "spec.tcpKeepalive.interval",
        "spec.tcpKeepalive.probes",
        "spec.timeout.http.requestTimeout",
        "spec.timeout.http.streamIdleTimeout",
        "spec.timeout.tcp.connectTimeout",
    },
}
"""The kinds that Kubernetes itself does not know, and the fields that are known to be theirs.

The definitions that say so are in no package. The manifests were held against them once, strictly:
those of Prometheus operator 0.93, of Gateway API 1.6 and of Envoy Gateway 1.8 and 1.9. A field that
is new here has to be looked up there.
"""


@pytest.fixture(scope="module")
def alone() -> Manifests:
    """Return the manifests of one relay, and nothing else."""
    return build(KUBERNETES)


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """Return the manifests of the kustomization that the document shows, which has everything."""
    folder = tmp_path_factory.mktemp("documented")
    shutil.copytree(KUBERNETES, folder / "arc-relay" / "deploy" / "kubernetes")
    section = (ROOT / "docs" / "deployment.md").read_text().partition("\n## Kubernetes\n")[2]
    shown = section.partition("```yaml\n")[2].partition("```")[0]
    (folder / "kustomization.yaml").write_text(shown)
    return build(folder)


@pytest.fixture(params=["alone", "documented"])
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """Return the manifests of one relay, and of all that there is."""
    manifests: Manifests = request.getfixturevalue(request.param)
    return manifests


def validate(manifest: Manifest, version: str) -> None:
    """Raise an error unless a version of Kubernetes knows every field."""
    checker: Any = pytest.importorskip("kubernetes_validate")
    checker.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, "latest"])
def test_fields(manifests: Manifests, version: str) -> None:
    """The oldest and the newest Kubernetes know every field."""
    checker: Any = pytest.importorskip("kubernetes_validate")
    for manifest in manifests:
        if (manifest["apiVersion"], manifest["kind"]) not in CUSTOM:
            validate(manifest, checker.latest_version() if version == "latest" else version)


def test_unknown_field(alone: Manifests) -> None:
    """A field that is misspelt would have been found."""
    checker: Any = pytest.importorskip("kubernetes_validate")
    deployment = copy.deepcopy(alone.the("Deployment"))
    pod = deployment["spec"]["template"]["spec"]
    pod["enableServiceLink"] = pod.pop("enableServiceLinks")
    with pytest.raises(checker.ValidationError):
        validate(deployment, OLDEST)


def test_fields_of_custom_kinds(documented: Manifests) -> None:
    """Fields of the other kinds are among those that were looked up."""
    for manifest in documented:
        known = CUSTOM.get((manifest["apiVersion"], manifest["kind"]))
        if known is not None:
            assert set(paths({"spec": manifest["spec"]})) <= known


def test_kinds(alone: Manifests, documented: Manifests) -> None:
    """One relay alone needs no kind that a cluster may not have; there is nothing else."""
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
    """Each component goes without the others, and leaves the pod as it is otherwise."""
    shutil.copytree(KUBERNETES, tmp_path / "here")
    text = f"resources: [here]\ncomponents: [here/{component}]\n"
    (tmp_path / "kustomization.yaml").write_text(text)
    assert build(tmp_path).variables.items() >= build(KUBERNETES).variables.items()


def test_several_relays_take_plain_codes_alone(alone: Manifests, documented: Manifests) -> None:
    """More than one relay is only there with strict codes, and only with a hash."""
    assert alone.deployment["replicas"] == 1
    assert documented.deployment["replicas"] > 1
    assert documented.variables["ARC_RELAY_STRICT_CODES"] == "true"
    for manifests in (alone, documented):
        rolling = manifests.deployment["strategy"]["rollingUpdate"]
        assert rolling["maxUnavailable"] == 0


def test_restricted(manifests: Manifests) -> None:
    """A namespace that enforces the restricted standard takes the pods."""
    assert violations(manifests.pod) == set()
    own = manifests.container["securityContext"]
    assert own["readOnlyRootFilesystem"]
    assert not {"volumes", "initContainers", "serviceAccountName"} & manifests.pod.keys()
    assert manifests.pod["automountServiceAccountToken"] is False


def less(*path: str | int) -> Callable[[Manifest], None]:
    """Return what takes a field away."""

    def change(node: Any) -> None:
        for key in path[:-1]:
            node = node[key]
        del node[path[-1]]

    return change


def more(*path: str | int, value: object) -> Callable[[Manifest], None]:
    """Return what sets a field."""

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
    """A pod that goes too far would have been found."""
    pod = copy.deepcopy(alone.pod)
    LOOSE[field](pod)
    assert violations(pod) == {field}


def test_image(alone: Manifests, documented: Manifests) -> None:
    """The image is run as its Containerfile has it: version, user, port, command."""
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
    """Whatever selects pods selects the relay's."""
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
    """Whatever names a port names one of the relay's container, and both are the same number."""
    for service in manifests.of("Service"):
        for port in service["spec"]["ports"]:
            assert port["port"] == manifests.ports[port["targetPort"]]
    for probe in ("readinessProbe", "livenessProbe"):
        assert manifests.container[probe]["httpGet"]["port"] == "relay"
    metrics = manifests.variables.get("ARC_RELAY_METRICS", "").rpartition(":")[2]
    assert metrics == str(manifests.ports.get("metrics", ""))


def test_who_may_connect(manifests: Manifests) -> None:
    """Each port is open to the pods of one namespace, and the relay reaches nobody."""
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


def test_scraping(documented: Manifests) -> None:
    """Prometheus finds the metrics, by their own Service alone."""
    spec = documented.the("ServiceMonitor")["spec"]
    wanted = spec["selector"]["matchLabels"].items()
    found = [
        each for each in documented.of("Service") if wanted <= each["metadata"]["labels"].items()
    ]
    assert [each["metadata"]["name"] for each in found] == ["arc-relay-metrics"]
    ports = {port["name"] for port in found[0]["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in spec["endpoints"]} <= ports


def test_way_in(documented: Manifests) -> None:
    """The gateway leads to the relay's Service, by the policy, with a log that has no query."""
    gateway, route = documented.the("Gateway"), documented.the("HTTPRoute")
    assert route["spec"]["parentRefs"] == [{"name": gateway["metadata"]["name"]}]
    assert route["spec"]["hostnames"] == [gateway["spec"]["listeners"][0]["hostname"]]
    ((backend,),) = (rule["backendRefs"] for rule in route["spec"]["rules"])
    service = documented.the("Service", backend["name"])
    assert backend["port"] in {port["port"] for port in service["spec"]["ports"]}
    (target,) = documented.the("BackendTrafficPolicy")["spec"]["targetRefs"]
    group = route["apiVersion"].partition("/")[0]
    name = route["metadata"]["name"]
    assert target == {"group": group, "kind": "HTTPRoute", "name": name}
    proxy = documented.the("EnvoyProxy")
    assert gateway["spec"]["infrastructure"]["parametersRef"]["name"] == proxy["metadata"]["name"]
    assert "PATH" not in json.dumps(proxy).upper().replace('"PATH": "/DEV/STDOUT"', "")


def test_policy_is_that_of_envoy(documented: Manifests) -> None:
    """What is asked of Envoy Gateway is what Envoy's own file has, which is tested with Envoy."""
    (envoy,) = load((ROOT / "deploy" / "proxy" / "envoy.yaml").read_text())
    resources = envoy["static_resources"]
    (cluster,) = resources["clusters"]
    chain = resources["listeners"][0]["filter_chains"][0]
    manager = chain["filters"][0]["typed_config"]
    route = manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]
    (checks,), (limits,) = cluster["health_checks"], cluster["circuit_breakers"]["thresholds"]
    keepalive = cluster["upstream_connection_options"]["tcp_keepalive"]
    (hashed,) = route["hash_policy"]
    spec = documented.the("BackendTrafficPolicy")["spec"]
    assert spec == {
        "targetRefs": spec["targetRefs"],
        "loadBalancer": {
            "type": "ConsistentHash",
            "consistentHash": {"type": "QueryParams", "queryParams": [hashed["query_parameter"]]},
        },
        "healthCheck": {
            "active": {
                "type": "HTTP",
                "http": {"path": checks["http_health_check"]["path"]},
                "interval": checks["interval"],
                "timeout": checks["timeout"],
                "unhealthyThreshold": checks["unhealthy_threshold"],
                "healthyThreshold": checks["healthy_threshold"],
            },
            "panicThreshold": cluster["common_lb_config"]["healthy_panic_threshold"]["value"],
        },
        "timeout": {
            "tcp": {"connectTimeout": cluster["connect_timeout"]},
            "http": {
                "requestTimeout": route["timeout"],
                "streamIdleTimeout": manager["stream_idle_timeout"],
            },
        },
        "circuitBreaker": {
            "maxConnections": limits["max_connections"],
            "maxPendingRequests": limits["max_pending_requests"],
            "maxParallelRequests": limits["max_requests"],
        },
        "tcpKeepalive": {
            "idleTime": f"{keepalive['keepalive_time']}s",
            "interval": f"{keepalive['keepalive_interval']}s",
            "probes": keepalive["keepalive_probes"],
        },
    }


def test_time_to_stop(manifests: Manifests) -> None:
    """The grace period is longer than the sleep and all that the relay may take after it."""
    settings = RelaySettings()
    sleep = manifests.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = float(manifests.variables.get("ARC_RELAY_DRAIN_DELAY", settings.drain_delay))
    assert sleep + drain + settings.close_timeout < manifests.pod["terminationGracePeriodSeconds"]
    assert sleep > 0


def test_memory(manifests: Manifests) -> None:
    """The limit is enough if every side reads slowly: see "Sizing" in docs/operations.md."""
    limit = manifests.container["resources"]["limits"]["memory"]
    sides = int(manifests.variables["ARC_RELAY_MAX_CONNECTIONS"])
    slow = (127 + 64) * KIB
    assert limit == "1Gi"
    assert 50 * MIB + sides * slow + sides // 2 * 22 * KIB < 1024 * MIB


def test_nothing_of_the_cluster_becomes_a_setting(manifests: Manifests) -> None:
    """A Service called arc-relay would set ARC_RELAY_PORT; the pod has none of those."""
    assert manifests.the("Service")["metadata"]["name"] == "arc-relay"
    assert manifests.pod["enableServiceLinks"] is False


def test_drain_of_a_node_is_not_held_up(manifests: Manifests) -> None:
    """One relay may always be gone, also if it is the only one."""
    budget = manifests.the("PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert "minAvailable" not in budget


def test_unknown_key_of_kustomize(tmp_path: Path) -> None:
    """Kustomize would have refused a key that it does not know."""
    shutil.copytree(KUBERNETES, tmp_path / "here")
    file = tmp_path / "here" / "kustomization.yaml"
    file.write_text(file.read_text().replace("resources:", "resource:"))
    assert kustomize(file.parent).returncode != 0
