"""Kinds that Kubernetes itself does not know, and their known fields.

No package has the definitions. The manifests were once checked strictly against those of Prometheus
operator 0.93, of Gateway API 1.5 and 1.6, and of Envoy Gateway 1.8.0 and 1.9.0. A new field must be
looked up there.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CUSTOM"]

GATEWAY: Final = "gateway.networking.k8s.io/v1"
ENVOY: Final = "gateway.envoyproxy.io/v1alpha1"
CUSTOM: Final = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): {
        "spec.endpoints[].port",
        "spec.jobLabel",
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
