"""Hints about the usual reasons why a relay refuses the upgrade of a probe. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...protocol.response import (
    BAD_CODE,
    CODE_NOT_STRICT,
    HANDSHAKE_STRIPPED,
    HEAD_TOO_BIG,
    HEAD_TOO_SLOW,
    METHOD_NOT_ALLOWED,
    NO_AUTHORIZED_HOST,
    NOT_FOUND,
    NOT_HTTP,
    ORIGIN_NOT_ALLOWED,
    PAIR_IS_FULL,
    PROXY_PROTOCOL,
    RELAY_IS_FULL,
    RELAY_IS_STOPPING,
    TOKEN_REQUIRED,
    TOO_MANY_FIELDS,
    TOO_MANY_PARAMETERS,
    TOO_MANY_WAITING,
    WRONG_VERSION,
)

NO_UPGRADE: Final = (
    "the proxy does not pass the headers Upgrade and Connection on (in nginx: proxy_http_version"
    " 1.1, proxy_set_header Upgrade $http_upgrade, proxy_set_header Connection upgrade)"
)
AUTHORIZE: Final = "the relay requires its token: give --token-file PATH, or set ARC_PROBE_TOKEN"
MISMATCH: Final = (
    "the relay has another token; or a proxy removes the header Authorization: try ?token=TOKEN in"
    " the URL"
)
PER_CLIENT: Final = (
    "a limit of the relay: max_connections_per_client or max_connects_per_minute; behind a proxy"
    " without trusted_proxies, all clients count as one"
)
CHANGED: Final = "a proxy changes the headers of the handshake"

RELAY_HINTS: Final[Mapping[str, str]] = {
    # Lost headers.
    "health": NO_UPGRADE,
    NOT_FOUND.body: NO_UPGRADE,
    HANDSHAKE_STRIPPED.body: NO_UPGRADE,
    METHOD_NOT_ALLOWED.body: NO_UPGRADE,
    "an upgrade needs HTTP/1.1": NO_UPGRADE,
    "an upgrade needs the header Connection: Upgrade": NO_UPGRADE,
    # A changed request.
    BAD_CODE.body: "a proxy drops or changes the query: it must pass on the parameter pair",
    CODE_NOT_STRICT.body: "the relay has strict_codes: leave pair out of the URL; or a proxy"
    " changes the query",
    TOO_MANY_PARAMETERS.body: "the URL has too many parameters, or a proxy adds them",
    WRONG_VERSION.body: CHANGED,
    "Host, Origin or a header of the handshake is not ASCII": CHANGED,
    "an upgrade has no body": CHANGED,
    "Sec-WebSocket-Key is not 16 bytes of base64": CHANGED,
    "Sec-WebSocket-Protocol is not a list of tokens": CHANGED,
    NOT_HTTP.body: "a proxy sends a request that is not valid: see its log",
    PROXY_PROTOCOL.body: "a proxy sends the PROXY protocol to the relay",
    HEAD_TOO_BIG.body: "the URL is too long, or a proxy adds large headers",
    TOO_MANY_FIELDS.body: "a proxy adds too many headers",
    HEAD_TOO_SLOW.body: "a proxy, or the network, holds the request back",
    # Access and limits.
    ORIGIN_NOT_ALLOWED.body: "a proxy adds the header Origin: the probe sends none",
    TOKEN_REQUIRED.body: AUTHORIZE,
    f"{TOKEN_REQUIRED.body}, with a token": MISMATCH,
    NO_AUTHORIZED_HOST.body: AUTHORIZE,
    f"{NO_AUTHORIZED_HOST.body}, with a token": MISMATCH,
    PAIR_IS_FULL.body: "two clients share this code: leave pair out of the URL, and the probe makes"
    " a code",
    "too many attempts from this client": PER_CLIENT,
    "too many connections from this client": PER_CLIENT,
    RELAY_IS_FULL.body: "max_connections of the relay is reached",
    TOO_MANY_WAITING.body: "max_waiting of the relay is reached",
    RELAY_IS_STOPPING.body: "the relay is about to stop or to restart",
}
"""Hint for each reason with which the relay refuses an upgrade.

Only the relay sends these reasons, so they also identify the relay as the sender of a response.
"""
