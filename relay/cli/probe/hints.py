"""Failures of a probe, and hints about their usual reasons.

Pure. A failure has a list of causes, from the most specific to the most general. The first cause
with an entry in `HINTS` gives the hint. An entry for the phase of the failed step takes precedence
over the general entry for the same cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .relay_hints import RELAY_HINTS

RELAY: Final = "relay: "
"""Prefix of a cause that stands for a refusal by the relay. The reason of the relay follows."""

ABNORMAL_CLOSURE: Final = "closed 1006"
"""Cause for a stream that ended without a close frame; RFC 6455 reserves 1006 for this."""


class Failure(Exception):
    """Failure of a step: a message of one line, and causes, the most specific first.

    ``answered_by`` is the sender of the response, if there was one: ``relay`` or ``other``.
    """

    def __init__(self, text: str, *causes: str, answered_by: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.causes = causes
        self.answered_by = answered_by


def hint_for(phase: str, failure: Failure, seconds: float) -> str:
    """Return the hint for the failure of a step; "" if there is none.

    ``phase`` is the phase of the step. ``seconds`` is its duration, which some hints quote.
    """
    for cause in failure.causes:
        for key in (f"{phase}: {cause}", cause):
            if key in HINTS:
                return HINTS[key].format(seconds=f"{seconds:.0f} s")
    return ""


READ_TIMEOUT: Final = (
    "the read timeout of a proxy is too short: it cut a connection that was silent for {seconds};"
    " raise that timeout, or lower the relay's ping_interval below that timeout"
)

HINTS: Final[Mapping[str, str]] = {
    # TCP and TLS.
    "dns": "the name has a typo, or no DNS record yet",
    "refused": "nothing listens there: the relay or the proxy is down, or the port is wrong",
    "denied": "this user may not open the Unix socket: see unix_socket_mode, and the folder's mode",
    "unreachable": "no route to the host: the address is wrong, or a firewall rejects packets",
    "no TCP connection": "the address is wrong, or a firewall drops the packets",
    "tls name": "the certificate is not for the host name of the URL",
    "tls expired": "the certificate has expired, or a clock is wrong: renew the certificate",
    "tls authority": "the certificate, or an intermediate one that the server should send, is from"
    " an authority that this machine does not know: serve the full chain, or give --ca FILE",
    "tls certificate": "the certificate is not valid for a server",
    "not tls": "that port does not speak TLS: use ws://, or the port of the proxy",
    "tls": "the server rejects the TLS handshake: it has no certificate for this name, or it"
    " requires a certificate of the client",
    "no TLS handshake": "that port does not speak TLS, or its proxy is stuck",
    # Response to the upgrade.
    "no answer to the upgrade": "the server waits for another protocol: it speaks TLS (use wss://),"
    " or the proxy waits for a relay that does not answer",
    "no response": "that port speaks TLS (use wss://), or a proxy refuses WebSockets",
    "not http": "something other than HTTP listens on that port",
    "tls wanted": "that port speaks TLS: use wss://",
    RELAY: "see the reason, and docs/protocol.md of the relay",
    **{f"{RELAY}{reason}": hint for reason, hint in RELAY_HINTS.items()},
    # Response to the upgrade by a server other than the relay.
    "status 101": "the proxy makes up its own answer to an upgrade, in place of the relay's",
    "status 200": "a web page answered: the proxy passes other paths, or none, on to the relay",
    "status 3xx": "the server redirects, usually to https: use the URL of the redirect, with wss://",
    "status 400": "the port requires wss://, or the proxy rejects the request: see its log",
    "status 401": "the proxy requires a login of its own: exempt the path of the relay from it",
    "status 403": "a rule of the proxy or of a firewall refuses the request",
    "status 404": "the proxy passes this path, or this host name, on to no relay",
    "status 426": "the server speaks WebSocket, or HTTP, in another version than the probe",
    "status 429": "the proxy has a limit of requests or connections per client",
    "status 500": "the proxy has an error of its own: see its log",
    "status 502": "the proxy does not reach the relay: it is down, or at another address or port",
    "status 503": "the proxy has no relay that is up: the relay is down, or fails its health check;"
    " or the proxy has a limit of its own",
    "status 504": "the proxy reaches no relay in time: a wrong address, or a firewall between them",
    "status 505": "a proxy speaks HTTP/1.0 or HTTP/2 only: an upgrade needs HTTP/1.1",
    "status 4xx": "the server does not let this upgrade through: see the log of the proxy",
    "status 5xx": "the server is in trouble: see the log of the proxy",
    # Messages between the sides.
    "no first message at side B": "the sides are at different relays: a balancer must choose by"
    " a hash of the pair parameter; or a proxy holds messages back",
    "early lost": "the server is not an arc-relay: a relay holds what side A sends early",
    "text passed": "the server is not an arc-relay: a relay drops text messages",
    "corrupt": "a proxy changes messages, or the server is not an arc-relay",
    "no pong": "a proxy drops pings, so that idle connections will not last",
    "large: no large message": "the network is slow (raise --timeout or lower --size), or a proxy"
    " holds large messages back",
    "closed 1000 peer disconnected": "the relay lost the other side",
    "closed 1011 peer disconnected": "the relay lost the other side",
    "closed 1001 pair expired": "the pair_ttl of the relay is too short for the probe",
    "closed 1001 relay stopping": "the relay was stopped or restarted just now",
    "closed 1002": "a proxy changes frames",
    "closed 1008": "a limit of the relay: max_pair_bytes or max_pair_seconds",
    "closed 1009 message too big": "the relay's max_message_size is below --size",
    "closed 1009": "the proxy's limit for the size of a WebSocket message is below --size",
    "closed 1012": "the proxy was restarted or reloaded just now",
    f"large: {ABNORMAL_CLOSURE}": "a proxy's limit for the size of a body or of the traffic,"
    " which it applies to WebSockets, too",
    f"idle: {ABNORMAL_CLOSURE}": READ_TIMEOUT,
    "idle: closed 1000 peer disconnected": READ_TIMEOUT,
    "idle: closed 1011 peer disconnected": READ_TIMEOUT,
    "idle: closed": READ_TIMEOUT,
    "idle: no round trip": "a NAT or a firewall dropped the idle connection without closing it:"
    " lower the relay's ping_interval",
    "close: no close frame": "a proxy holds close frames back",
    "close: closed": "the relay did not see side A close: a proxy closed the connection, or the"
    " server is not an arc-relay",
    ABNORMAL_CLOSURE: "a proxy or the relay closed the connection: see their logs",
    "timeout": "a proxy holds messages back, or the network is very slow (--timeout)",
}
