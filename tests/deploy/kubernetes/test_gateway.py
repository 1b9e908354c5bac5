"""Gateway: its route and policy, and the route for metrics."""

from __future__ import annotations

import json

from .manifests import ROOT, Manifests, load


def test_route(documented: Manifests) -> None:
    """The gateway leads to the relay's Service, with the policy, and a log without the query."""
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


def test_policy_agrees_with_the_configuration_of_envoy(documented: Manifests) -> None:
    """The policy of Envoy Gateway has the values of Envoy's own file, which other tests run."""
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


def test_scraping(documented: Manifests) -> None:
    """Prometheus finds the metrics by their own Service only."""
    spec = documented.the("ServiceMonitor")["spec"]
    wanted = spec["selector"]["matchLabels"].items()
    found = [
        each for each in documented.of("Service") if wanted <= each["metadata"]["labels"].items()
    ]
    assert [each["metadata"]["name"] for each in found] == ["arc-relay-metrics"]
    ports = {port["name"] for port in found[0]["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in spec["endpoints"]} <= ports


def test_alerts_use_the_job_of_the_service(documented: Manifests) -> None:
    """The alerts select the job that Prometheus derives from a label of the Service."""
    label = documented.the("ServiceMonitor")["spec"]["jobLabel"]
    job = documented.the("Service", "arc-relay-metrics")["metadata"]["labels"][label]
    assert f'up{{job="{job}"}}' in (ROOT / "deploy" / "observability" / "alerts.yaml").read_text()
