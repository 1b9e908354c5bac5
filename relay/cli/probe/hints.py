"""Failures of a probe, and hints at their usual reasons.

Pure. A failure has a list of causes, from the most specific to the most general. The hint is the
one for the first cause in the table `HINTS`; a hint for the phase of the failed step comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["ABNORMAL_CLOSURE", "HINTS", "Failure", "hint_for", "printable"]

ABNORMAL_CLOSURE: Final = "closed 1006"
"""Cause of a stream that ended without a close frame; RFC 6455 reserves 1006 for this."""


class Failure(Exception):
    """Failure of a step: a message of one line, and causes, the most specific one first."""

    def __init__(self, text: str, *causes: str) -> None:
        super().__init__(text)
        self.text = text
        self.causes = causes


def hint_for(phase: str, failure: Failure, seconds: float) -> str:
    """Return the hint for a failure after some seconds of a phase; "" if there is none."""
    for cause in failure.causes:
        for key in (f"{phase}: {cause}", cause):
            if key in HINTS:
                return HINTS[key].format(seconds=f"{seconds:.0f} s")
    return ""


def printable(text: str) -> str:
    """Replace the characters of untrusted text that are not printable by ``?``."""
    return "".join(char if char.isprintable() else "?" for char in text)


NO_UPGRADE: Final = (
    "the proxy does not pass the headers Upgrade and Connection on (in nginx: proxy_http_version"
    " 1.1, proxy_set_header Upgrade $http_upgrade, proxy_set_header Connection upgrade)"
)
READ_TIMEOUT: Final = (
    "the read timeout of a proxy is too short: it cut a connection that was silent for {seconds};"
    " raise it, or lower the relay's ping_interval below it"
)

HINTS: Final[Mapping[str, str]] = {
    # TCP and TLS.
    "dns": "the name has a typo, or no DNS record yet",
    "refused": "nothing listens there: the relay or the proxy is down, or the port is another one",
    "unreachable": "no network leads there: the address is wrong, or a firewall says no",
    "no TCP connection": "the address is wrong, or a firewall drops what goes there",
    "tls name": "the certificate is for another name than the URL's",
    "tls expired": "the certificate has run out, or a clock is wrong: renew it",
    "tls authority": "the certificate, or one that should be sent along with it, is from an"
    " authority that this machine does not know: serve the full chain, or give --ca FILE",
    "tls certificate": "the certificate is no good for a server",
    "not tls": "that port does not speak TLS: use ws://, or the port of the proxy",
    "tls": "whatever answers there does not agree about TLS: it is not meant for this name, or it"
    " wants a certificate of the client",
    "no TLS handshake": "that port does not speak TLS, or its proxy is stuck",
    # Response to the upgrade.
    "no answer to the upgrade": "what listens there waits for something else: it speaks TLS (use"
    " wss://), or the proxy waits for a relay that does not answer",
    "hung up": "that port speaks TLS (use wss://), or something on the way refuses WebSockets",
    "not http": "something else than HTTP listens there",
    "tls wanted": "that port speaks TLS: use wss://",
    "status 101": "the proxy makes up its own answer to an upgrade, in place of the relay's",
    "status 200": f"a web page answered, not the relay: the path is another one, or {NO_UPGRADE}",
    "status 3xx": "it sends elsewhere, mostly to https: use the URL where it leads, with wss://",
    "status 400": f"if the relay is behind a proxy, {NO_UPGRADE}; or it wants wss://",
    "status 401": "the relay wants its host token (--token), or the proxy wants a login",
    "status 403": "a proxy or a firewall refuses: the relay itself refuses only browsers of other"
    " origins, and this is none",
    "status 404": f"there is no relay at this path; or {NO_UPGRADE}",
    "status 409": "two others share this code: leave the pair parameter out, for a code of its own",
    "status 426": f"it does not see a WebSocket upgrade: {NO_UPGRADE}",
    "status 429": "too many connections from one address: see max_connections_per_client and"
    " max_connects_per_minute, with trusted_proxies if there is a proxy; or the proxy has"
    " such a limit",
    "status 500": "the proxy has an error of its own: see its log",
    "status 502": "the proxy does not reach the relay: it is down, or at another address or port",
    "status 503": "the relay is full (max_connections, max_waiting) or draining before a restart,"
    " or the proxy knows of no relay that is well",
    "status 504": "the proxy reaches no relay in time: a wrong address, or a firewall between them",
    "status 505": "something on the way speaks HTTP/1.0 or HTTP/2 only: an upgrade needs HTTP/1.1",
    "status 4xx": "what answers there does not let this upgrade through: see the proxy's log",
    "status 5xx": "what answers there is in trouble: see the proxy's log",
    # Messages between the sides.
    "no first message at side B": "the two sides are at different relays: whatever spreads the load"
    " must choose by the pair parameter (a hash of it); or a proxy holds messages back",
    "early lost": "what answers there is not an arc-relay: one holds what side A sends early",
    "text passed": "what answers there is not an arc-relay: one drops text messages",
    "corrupt": "something on the way changes messages, or this is not an arc-relay",
    "no pong": "something on the way swallows pings, so that idle connections will not last",
    "large: no large message": "the line is slow (raise --timeout or lower --size), or something on"
    " the way holds large messages back",
    "closed 1000 peer disconnected": "the relay lost the other side",
    "closed 1011 peer disconnected": "the relay lost the other side",
    "closed 1001 pair expired": "the pair_ttl of the relay is too short for this",
    "closed 1001 relay stopping": "the relay was stopped or restarted just now",
    "closed 1002": "something on the way changes frames",
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
    "idle: no round trip": "a NAT or a firewall forgot the silent connection without a word: lower"
    " the relay's ping_interval",
    "close: no close frame": "something on the way holds close frames back",
    "close: closed": "the relay did not see side A close: something on the way broke the connection"
    " off, or this is not an arc-relay",
    ABNORMAL_CLOSURE: "a proxy or the relay broke the connection off: see their logs",
    "timeout": "something on the way holds messages back, or the line is very slow (--timeout)",
}
