"""What is made of the head of a request: an upgrade, a look at the relay, or a refusal."""

from __future__ import annotations

import base64

import pytest
from websockets.utils import accept_key

from relay.protocol.handshake import PlainRequest
from relay.protocol.response import HANDSHAKE_STRIPPED, Response
from tests.support.raw_client import upgrade_request
from tests.support.requests import KEY, UPGRADE, judged, let_in, plain, refused, with_lines

# Upgrades.


@pytest.mark.parametrize("path", ["/", "/health", "/any/where", "//", "/%ff", "http://host/x"])
def test_path_of_an_upgrade_is_not_interpreted(path: str) -> None:
    """An upgrade is let in whatever its path, and its answer has nothing of it but its key."""
    handshake = let_in(upgrade_request(f"{path}?pair=code", sec_websocket_key=KEY, cookie="s3cret"))
    assert handshake.code == "code"
    assert handshake.response("0123456789") == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(KEY).encode() + b"\r\n"
        b"Arc-Relay-Pair: 0123456789\r\n\r\n"
    )


def test_representation_shows_nothing() -> None:
    """An upgrade can be written to a log: nothing that its client sent is in it."""
    head = upgrade_request(
        "/?pair=s3cret-code",
        origin="https://s3cret-origin",
        authorization="Bearer s3cret-token",
        x_forwarded_for="s3cret-address",
        sec_websocket_protocol="s3cret-protocol",
    )
    assert "s3cret" in str(let_in(head).response(""))
    assert "s3cret" not in repr(let_in(head))


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
    """Tokens are compared without case, in lists too, and what does not matter does not hurt."""
    assert let_in(upgrade_request("/?pair=code", **headers)).code == "code"


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
    """An upgrade that is not as RFC 6455 section 4 has it is refused with the reason."""
    assert refused(upgrade_request("/?pair=code", **headers)) == (status, body)


def test_header_given_twice_is_a_list() -> None:
    """A header that comes twice counts as one with both values."""
    assert refused(with_lines(UPGRADE, "Sec-WebSocket-Version: 13")) == (426, BAD_VERSION)
    assert let_in(with_lines(UPGRADE, "Upgrade: h2c")).code == "code"


def test_old_http_has_no_upgrade() -> None:
    """An upgrade by HTTP/1.0 is refused, as section 4.1 asks for 1.1."""
    assert refused(UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0")) == (400, "an upgrade needs HTTP/1.1")


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "get"])
def test_upgrade_is_a_get(method: str) -> None:
    """An upgrade by another method is told which one to use."""
    response = judged(UPGRADE.replace(b"GET", method.encode(), 1))
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
    """Of the offered subprotocols the first is accepted, and no other."""
    head = upgrade_request("/?pair=code", sec_websocket_protocol=offer)
    if accepted is None:
        assert refused(head) == (400, BAD_PROTOCOL)
        return
    assert (
        let_in(head)
        .response("")
        .endswith(f"\r\nSec-WebSocket-Protocol: {accepted}\r\n\r\n".encode())
    )


# Plain HTTP.


@pytest.mark.parametrize("rest", ["", "/", "?x=1", "/?x", "?pair=code"])
@pytest.mark.parametrize("resource", PlainRequest)
def test_resources(resource: PlainRequest, rest: str) -> None:
    """What can be asked about the relay is asked with or without a slash or a query."""
    assert judged(plain(f"/{resource.name.lower()}{rest}")) is resource


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
    """Any path but those of the resources is unknown, and these have one method."""
    response = judged(plain(target, method))
    assert isinstance(response, Response)
    assert response.status == status
    assert response.headers == ((("Allow", "GET, HEAD"),) if status == 405 else ())
    assert not response.omit_body


@pytest.mark.parametrize("lines", [("Upgrade: h2c",), ("Upgrade: websocket2",), ("X: \u00ff",)])
def test_what_is_no_upgrade_is_plain(lines: tuple[str, ...]) -> None:
    """A request that does not ask for WebSocket is answered as any, whatever its headers."""
    asked = judged(plain("/health", "GET", "Connection: Upgrade", *lines))
    assert asked is PlainRequest.HEALTH


@pytest.mark.parametrize("resource", PlainRequest)
def test_head_is_get(resource: PlainRequest) -> None:
    """A resource is asked for by HEAD as by GET."""
    assert judged(plain(f"/{resource.name.lower()}", "HEAD")) is resource


@pytest.mark.parametrize("head", [plain("/", "HEAD"), UPGRADE.replace(b"GET", b"HEAD", 1)])
def test_head_has_no_body(head: bytes) -> None:
    """The answer to HEAD has no body, and is that to GET; HEAD asks for no upgrade."""
    response = judged(head)
    assert isinstance(response, Response)
    assert response.status == 404
    assert response.encode(0).endswith(b"\r\n\r\n")
    assert f"Content-Length: {len(response.body)}\r\n".encode() in response.encode(0)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("connection", [None, "close", "Upgrade"])
def test_upgrade_without_its_header(version: str, connection: str | None) -> None:
    """A handshake whose Upgrade a proxy removed is told so, whatever became of the rest of it."""
    head = upgrade_request("/?pair=code", upgrade=None, connection=connection)
    response = judged(head.replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
    assert isinstance(response, Response)
    assert response == HANDSHAKE_STRIPPED
    assert (response.status, response.headers) == (426, (("Upgrade", "websocket"),))
    assert "proxy" in response.body


@pytest.mark.parametrize("offer", ["", ",", " , ,"])
def test_no_subprotocol(offer: str) -> None:
    """An offer of nothing but empty items is none."""
    head = upgrade_request("/?pair=code", sec_websocket_protocol=offer)
    assert b"Sec-WebSocket-Protocol" not in let_in(head).response("")
    again = with_lines(head, f"Sec-WebSocket-Protocol: {offer}", "Sec-WebSocket-Protocol: a")
    assert let_in(again).response("").endswith(b"\r\nSec-WebSocket-Protocol: a\r\n\r\n")


@pytest.mark.parametrize("upgrade", ["", ",", " , "])
def test_empty_upgrade_is_a_stripped_one(upgrade: str) -> None:
    """An Upgrade that names nothing is as good as none."""
    assert judged(upgrade_request("/?pair=code", upgrade=upgrade)) == HANDSHAKE_STRIPPED


def test_another_upgrade_is_no_stripped_one() -> None:
    """A key beside an Upgrade to something else is a header like any other."""
    assert refused(upgrade_request("/", upgrade="h2c"))[0] == 404


@pytest.mark.parametrize("parameters", [100, 101, 5000])
def test_number_of_parameters(parameters: int) -> None:
    """A query has so many parameters at most, empty ones included."""
    head = upgrade_request("/?pair=code" + "&" * (parameters - 1))
    if parameters <= 100:
        assert let_in(head).code == "code"
    else:
        assert refused(head) == (400, "query has more than 100 parameters")


def test_upgrade_in_absolute_form() -> None:
    """An upgrade may have its target in absolute form."""
    assert let_in(upgrade_request("ws://relay.example?pair=code")).code == "code"
