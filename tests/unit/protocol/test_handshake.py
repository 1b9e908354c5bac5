"""Validation of a request: a handshake, a plain request, or a refusal."""

from __future__ import annotations

import base64

import pytest
from websockets.utils import accept_key

from relay.protocol.handshake import PlainRequest
from relay.protocol.response import HANDSHAKE_STRIPPED, Response
from tests.support.raw_client import upgrade_request
from tests.support.requests import KEY, UPGRADE, handshake_of, parsed, plain, refused, with_lines

# Upgrades.


@pytest.mark.parametrize("path", ["/", "/health", "/any/where", "//", "/%ff", "http://host/x"])
def test_path_of_an_upgrade_is_not_interpreted(path: str) -> None:
    """A handshake is accepted on any path, and only its key is in the response."""
    handshake = handshake_of(
        upgrade_request(f"{path}?pair=code", sec_websocket_key=KEY, cookie="s3cret")
    )
    assert handshake.code == "code"
    assert handshake.response("0123456789") == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(KEY).encode() + b"\r\n"
        b"Arc-Relay-Pair: 0123456789\r\n\r\n"
    )


def test_representation_shows_nothing() -> None:
    """The representation of a handshake has no data of the client."""
    head = upgrade_request(
        "/?pair=s3cret-code",
        origin="https://s3cret-origin",
        authorization="Bearer s3cret-token",
        x_forwarded_for="s3cret-address",
        sec_websocket_protocol="s3cret-protocol",
    )
    assert "s3cret" in str(handshake_of(head).response(""))
    assert "s3cret" not in repr(handshake_of(head))


@pytest.mark.parametrize(
    "headers",
    [
        {"upgrade": "WebSocket"},
        {"upgrade": "h2c, websocket"},
        {"connection": "keep-alive, upgrade"},
        {"connection": "UPGRADE"},
        {"content_length": "0"},
        {"origin": "https://elsewhere.example"},
        {"sec_websocket_extensions": "permessage-deflate"},
        {"sec_websocket_protocol": ""},
        {"sec_websocket_protocol": "  "},
        {"upgrade": "x," * 99 + "websocket"},
        {"connection": "x," * 99 + "upgrade"},
        {"user_agent": "caf\xe9"},
        {"cookie": "\xff"},
        {"authorization": "Bearer \xff"},
        {"x_forwarded_for": "\xff"},
    ],
    ids=lambda headers: ascii(headers)[:60],
)
def test_headers_that_an_upgrade_may_have(headers: dict[str, str]) -> None:
    """Header values are compared without case, also in lists, and unrelated headers are ignored."""
    assert handshake_of(upgrade_request("/?pair=code", **headers)).code == "code"


BAD_KEY = "Sec-WebSocket-Key is not 16 bytes of base64"
BAD_VERSION = "only WebSocket version 13 is supported"
BAD_BODY = "an upgrade has no body"
BAD_CONNECTION = "an upgrade needs the header Connection: Upgrade"
BAD_PROTOCOL = "Sec-WebSocket-Protocol is not a list of tokens"
NOT_ASCII = "Host, Origin or a header of the handshake is not ASCII"
REFUSED: list[tuple[dict[str, str | None], int, str]] = [
    ({"connection": None}, 400, BAD_CONNECTION),
    ({"connection": "close"}, 400, BAD_CONNECTION),
    ({"connection": "upgraded"}, 400, BAD_CONNECTION),
    ({"connection": "x," * 100 + "upgrade"}, 400, BAD_CONNECTION),
    ({"host": "\xff"}, 400, NOT_ASCII),
    ({"origin": "\xff"}, 400, NOT_ASCII),
    ({"sec_websocket_key": "\xff" * 24}, 400, NOT_ASCII),
    ({"connection": "Upgrade, \xff"}, 400, NOT_ASCII),
    ({"sec_websocket_protocol": "\xff"}, 400, NOT_ASCII),
    ({"content_length": "1"}, 400, BAD_BODY),
    ({"transfer_encoding": "chunked"}, 400, BAD_BODY),
    ({"sec_websocket_version": None}, 426, BAD_VERSION),
    ({"sec_websocket_version": ""}, 426, BAD_VERSION),
    ({"sec_websocket_version": "8"}, 426, BAD_VERSION),
    ({"sec_websocket_version": "13, 8"}, 426, BAD_VERSION),
    ({"sec_websocket_version": "013"}, 426, BAD_VERSION),
    ({"sec_websocket_key": None}, 400, BAD_KEY),
    ({"sec_websocket_key": ""}, 400, BAD_KEY),
    ({"sec_websocket_key": base64.b64encode(bytes(15)).decode()}, 400, BAD_KEY),
    ({"sec_websocket_key": base64.b64encode(bytes(17)).decode()}, 400, BAD_KEY),
    ({"sec_websocket_key": KEY.rstrip("=")}, 400, BAD_KEY),
    ({"sec_websocket_key": "_" * 22 + "=="}, 400, BAD_KEY),
    ({"sec_websocket_key": KEY[:4] + " " + KEY[4:]}, 400, BAD_KEY),
    ({"sec_websocket_key": f"{KEY}, {KEY}"}, 400, BAD_KEY),
    ({"sec_websocket_protocol": "two words"}, 400, BAD_PROTOCOL),
]


@pytest.mark.parametrize(
    ("headers", "status", "body"), REFUSED, ids=[ascii(headers)[:60] for headers, _, _ in REFUSED]
)
def test_upgrade_that_is_refused(headers: dict[str, str | None], status: int, body: str) -> None:
    """A handshake that violates RFC 6455 section 4 is refused with the reason."""
    assert refused(upgrade_request("/?pair=code", **headers)) == (status, body)


def test_header_given_twice_is_a_list() -> None:
    """Two lines of a header count as one list."""
    assert refused(with_lines(UPGRADE, "Sec-WebSocket-Version: 13")) == (426, BAD_VERSION)
    assert handshake_of(with_lines(UPGRADE, "Upgrade: h2c")).code == "code"


def test_old_http_has_no_upgrade() -> None:
    """A handshake by HTTP/1.0 is refused, because section 4.1 requires 1.1."""
    assert refused(UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0")) == (400, "an upgrade needs HTTP/1.1")


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "get"])
def test_upgrade_is_a_get(method: str) -> None:
    """A handshake by another method is refused with the right method."""
    response = parsed(UPGRADE.replace(b"GET", method.encode(), 1))
    assert isinstance(response, Response)
    assert (response.status, response.headers) == (405, (("Allow", "GET, HEAD"),))


@pytest.mark.parametrize(
    ("offer", "accepted"),
    [
        ("chat", "chat"),
        ("chat, other", "chat"),
        ("a.b/c, d", None),
        (" v1.x_y~! ,", "v1.x_y~!"),
        (",, ,a, b", "a"),
    ],
)
def test_first_subprotocol_is_accepted(offer: str, accepted: str | None) -> None:
    """The first offered subprotocol is accepted, and no other."""
    head = upgrade_request("/?pair=code", sec_websocket_protocol=offer)
    if accepted is None:
        assert refused(head) == (400, BAD_PROTOCOL)
        return
    assert (
        handshake_of(head)
        .response("")
        .endswith(f"\r\nSec-WebSocket-Protocol: {accepted}\r\n\r\n".encode())
    )


# Plain HTTP.


@pytest.mark.parametrize("rest", ["", "/", "?x=1", "/?x", "?pair=code"])
@pytest.mark.parametrize("resource", PlainRequest)
def test_resources(resource: PlainRequest, rest: str) -> None:
    """Each resource of the relay has its path with and without a slash or a query."""
    assert parsed(plain(f"/{resource.name.lower()}{rest}")) is resource


@pytest.mark.parametrize(
    ("target", "method", "status"),
    [
        ("/", "GET", 404),
        ("/?pair=code", "GET", 404),
        ("/healthy", "GET", 404),
        ("/health//", "GET", 404),
        ("/Health", "GET", 404),
        ("/health/ready", "GET", 404),
        ("/ready//", "GET", 404),
        ("/%72eady", "GET", 404),
        ("/", "POST", 404),
        ("*", "OPTIONS", 404),
        ("/health", "POST", 405),
        ("/health/", "DELETE", 405),
        ("/health", "get", 405),
        ("/ready", "PUT", 405),
        ("/ready/", "OPTIONS", 405),
    ],
)
def test_plain_request_that_is_refused(target: str, method: str, status: int) -> None:
    """Any other path is unknown, and each resource has one method."""
    response = parsed(plain(target, method))
    assert isinstance(response, Response)
    assert response.status == status
    assert response.headers == ((("Allow", "GET, HEAD"),) if status == 405 else ())
    assert not response.omit_body


@pytest.mark.parametrize("lines", [("Upgrade: h2c",), ("Upgrade: websocket2",), ("X: \u00ff",)])
def test_what_is_no_upgrade_is_plain(lines: tuple[str, ...]) -> None:
    """A request without an upgrade to WebSocket is a plain request, whatever its headers."""
    request = parsed(plain("/health", "GET", "Connection: Upgrade", *lines))
    assert request is PlainRequest.HEALTH


@pytest.mark.parametrize("resource", PlainRequest)
def test_head_is_get(resource: PlainRequest) -> None:
    """HEAD requests a resource like GET."""
    assert parsed(plain(f"/{resource.name.lower()}", "HEAD")) is resource


@pytest.mark.parametrize("head", [plain("/", "HEAD"), UPGRADE.replace(b"GET", b"HEAD", 1)])
def test_head_has_no_body(head: bytes) -> None:
    """The response to HEAD is that to GET without the body; HEAD requests no upgrade."""
    response = parsed(head)
    assert isinstance(response, Response)
    assert response.status == 404
    assert response.encode(0).endswith(b"\r\n\r\n")
    assert f"Content-Length: {len(response.body)}\r\n".encode() in response.encode(0)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("connection", [None, "close", "Upgrade"])
def test_upgrade_without_its_header(version: str, connection: str | None) -> None:
    """A handshake whose Upgrade a proxy removed is refused with that reason."""
    head = upgrade_request("/?pair=code", upgrade=None, connection=connection)
    response = parsed(head.replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
    assert isinstance(response, Response)
    assert response == HANDSHAKE_STRIPPED
    assert (response.status, response.headers) == (426, (("Upgrade", "websocket"),))
    assert "proxy" in response.body


@pytest.mark.parametrize("offer", ["", ",", " , ,"])
def test_no_subprotocol(offer: str) -> None:
    """A list of empty items offers no subprotocol."""
    head = upgrade_request("/?pair=code", sec_websocket_protocol=offer)
    assert b"Sec-WebSocket-Protocol" not in handshake_of(head).response("")
    again = with_lines(head, f"Sec-WebSocket-Protocol: {offer}", "Sec-WebSocket-Protocol: a")
    assert handshake_of(again).response("").endswith(b"\r\nSec-WebSocket-Protocol: a\r\n\r\n")


@pytest.mark.parametrize("upgrade", ["", ",", " , "])
def test_empty_upgrade_is_a_stripped_one(upgrade: str) -> None:
    """An empty Upgrade header counts as a removed one."""
    assert parsed(upgrade_request("/?pair=code", upgrade=upgrade)) == HANDSHAKE_STRIPPED


def test_another_upgrade_is_no_stripped_one() -> None:
    """A key beside an Upgrade to another protocol is an ordinary header."""
    assert refused(upgrade_request("/", upgrade="h2c"))[0] == 404


@pytest.mark.parametrize("parameters", [100, 101, 5000])
def test_number_of_parameters(parameters: int) -> None:
    """A query has a maximum number of parameters, empty ones included."""
    head = upgrade_request("/?pair=code" + "&" * (parameters - 1))
    if parameters <= 100:
        assert handshake_of(head).code == "code"
    else:
        assert refused(head) == (400, "query has more than 100 parameters")


def test_upgrade_in_absolute_form() -> None:
    """The target of a handshake may have the absolute form."""
    assert handshake_of(upgrade_request("ws://relay.example?pair=code")).code == "code"
