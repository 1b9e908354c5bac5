"""docs/endpoints.md and its test vectors agree with the implementation."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from relay.client import messages
from relay.client.errors import InvalidLink, ProtocolViolation
from relay.client.link import Link
from relay.client.noise import PROTOCOL_NAME, VERSION, CipherState, Handshake, prologue

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = (DOCS / "endpoints.md").read_text()
VECTORS = json.loads((DOCS / "endpoints-vectors.json").read_text())
CLASSES = {each.NAME: each for each in messages.CLASSES.values()}
CONNECTIONS = VECTORS["connections"]


def title(connection: dict[str, Any]) -> str:
    """Return the title of a connection."""
    return str(connection["title"])


def private_key(connection: dict[str, Any], role: str) -> X25519PrivateKey:
    """Return the ephemeral key of a role."""
    key = bytes.fromhex(connection[f"{role}_ephemeral_private_key"])
    return X25519PrivateKey.from_private_bytes(key)


def handshake(connection: dict[str, Any]) -> tuple[bytes, bytes, Handshake, Handshake]:
    """Return the handshake messages, and the handshakes of the guest and of the host."""
    key = bytes.fromhex(connection["key"])
    start = prologue(connection["kind"], connection["code"])
    guest, host = (Handshake(key, start, private_key(connection, who)) for who in ("guest", "host"))
    first = guest.write()
    host.read(first)
    second = host.write()
    guest.read(second)
    return first, second, guest, host


def shown_fields(message: messages.Message) -> dict[str, str | int]:
    """Return the fields of a message as the vectors have them: bytes in hexadecimal digits."""
    values = {name: getattr(message, name) for name in vars(message)}
    return {
        name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()
    }


def test_names() -> None:
    """The vectors are those of this version, and use every type."""
    assert VECTORS["protocol"] == VERSION.decode()
    assert VECTORS["noise"] == PROTOCOL_NAME.decode()
    used = {each["type"] for connection in CONNECTIONS for each in connection["messages"]}
    assert used == {*CLASSES}


@pytest.mark.parametrize("connection", CONNECTIONS, ids=title)
def test_handshakes(connection: dict[str, Any]) -> None:
    """Both roles compute the handshake of each connection."""
    first, second, guest, host = handshake(connection)
    assert prologue(connection["kind"], connection["code"]).hex() == connection["prologue"]
    assert first.hex() == connection["guest_handshake_message"]
    assert second.hex() == connection["host_handshake_message"]
    assert guest.hash.hex() == connection["handshake_hash"]
    assert host.hash.hex() == connection["handshake_hash"]
    for role in ("guest", "host"):
        public = private_key(connection, role).public_key().public_bytes_raw()
        assert public.hex() == connection[f"{role}_ephemeral_public_key"]


@pytest.mark.parametrize("connection", CONNECTIONS, ids=title)
def test_messages(connection: dict[str, Any]) -> None:
    """Each message has its plaintext and its ciphertext."""
    _, _, guest, host = handshake(connection)
    keys = {
        "guest": CipherState(bytes.fromhex(connection["guest_to_host_key"])),
        "host": CipherState(bytes.fromhex(connection["host_to_guest_key"])),
    }
    (guest_sending, guest_receiving), (host_sending, host_receiving) = guest.split(), host.split()
    ciphers = {
        "guest": (guest_sending, host_receiving),
        "host": (host_sending, guest_receiving),
    }
    for each in connection["messages"]:
        sending, receiving = ciphers[each["from"]]
        plaintext, ciphertext = bytes.fromhex(each["plaintext"]), bytes.fromhex(each["message"])
        message = messages.decode(plaintext)
        assert (message.NAME, shown_fields(message)) == (each["type"], each["fields"])
        assert message.encode() == plaintext
        assert sending.encrypt(plaintext) == ciphertext
        assert receiving.decrypt(ciphertext) == plaintext
        assert keys[each["from"]].encrypt(plaintext) == ciphertext


@pytest.mark.parametrize(
    "vector", VECTORS["malformed_plaintexts"], ids=lambda each: each["violation"]
)
def test_malformed_plaintexts(vector: dict[str, str]) -> None:
    """Each malformed plaintext is the violation that the vectors name."""
    with pytest.raises(ProtocolViolation) as caught:
        messages.decode(bytes.fromhex(vector["plaintext"]))
    assert str(caught.value) == vector["violation"]


@pytest.mark.parametrize("vector", VECTORS["links"], ids=lambda each: each["code"])
def test_links(vector: dict[str, str]) -> None:
    """Each link has its parts, and the URL of a session."""
    link = Link.parse(vector["link"])
    assert link == Link(vector["relay"], vector["code"], bytes.fromhex(vector["key"]))
    assert link.text == vector["link"]
    (session_code,) = re.findall(r"[?&]pair=([^&]+)", vector["session_url"])
    assert link.request_url(session_code) == vector["session_url"]


@pytest.mark.parametrize("text", VECTORS["invalid_links"])
def test_invalid_links(text: str) -> None:
    """Each invalid link is refused."""
    with pytest.raises(InvalidLink):
        Link.parse(text)


def hkdf(chaining_key: bytes, material: bytes, outputs: int) -> list[bytes]:
    """Compute HKDF (RFC 5869) without the implementation."""
    secret = hmac.digest(chaining_key, material, "sha256")
    blocks = [b""]
    for number in range(1, outputs + 1):
        blocks.append(hmac.digest(secret, blocks[-1] + bytes((number,)), "sha256"))
    return blocks[1:]


def steps(connection: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the worked example, computed as the document says."""

    def digest(data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

    def row(name: str, **values: bytes) -> Iterator[str]:
        for key, value in values.items():
            yield f"{name:<13} {key:<2} {value.hex()}"
            name = ""

    yield f"link          {VECTORS['links'][0]['link']}"
    yield f"key           {connection['key']}"
    yield f"prologue      {connection['prologue']}"
    h = ck = PROTOCOL_NAME
    h = digest(h + bytes.fromhex(connection["prologue"]))
    yield from row("start", h=h)
    ck, t, k = hkdf(ck, bytes.fromhex(connection["key"]), 3)
    h = digest(h + t)
    yield from row("psk", ck=ck, h=h, k=k)
    publics = {}
    for role in ("guest", "host"):
        private = private_key(connection, role)
        publics[role] = e = private.public_key().public_bytes_raw()
        yield f"{role + ' private':<13} {private.private_bytes_raw().hex()}"
        h = digest(h + e)
        ck, k = hkdf(ck, e, 2)
        if role == "guest":
            yield from row("e of guest", e=e, ck=ck, h=h, k=k)
        else:
            yield from row("e of host", e=e, ck=ck, h=h)
            shared = private.exchange(X25519PublicKey.from_public_bytes(publics["guest"]))
            ck, k = hkdf(ck, shared, 2)
            yield from row("ee", DH=shared, ck=ck, k=k)
        tag = AESGCM(k).encrypt(bytes(12), b"", h)
        h = digest(h + tag)
        yield f"{role + chr(39) + 's tag':<16} {tag.hex()}"
        yield from row("", h=h)
    k1, k2 = hkdf(ck, b"", 2)
    yield from row("split", k1=k1, k2=k2)
    assert [h.hex(), k1.hex(), k2.hex()] == [
        connection[name] for name in ("handshake_hash", "guest_to_host_key", "host_to_guest_key")
    ]


def test_worked_example() -> None:
    """The worked example is the first connection of the vectors, computed step by step."""
    (block,) = re.findall(r"^```\n(link .*?)```", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert block.splitlines() == [*steps(CONNECTIONS[0])]
    assert f"`{CONNECTIONS[0]['messages'][0]['message']}`" in DOCUMENT


def test_types() -> None:
    """The table of types has each type with its name."""
    rows = re.findall(r"^\| 0x([0-9a-f]{2}) \| ([A-Z]+) \|", DOCUMENT, re.MULTILINE)
    assert {name: int(number, 16) for number, name in rows} == {
        name: kind.TYPE for name, kind in CLASSES.items()
    }


def test_reasons() -> None:
    """The table of reasons has each reason."""
    rows = re.findall(r"^\| (\d+) \| the ", DOCUMENT, re.MULTILINE)
    assert [int(number) for number in rows] == [*messages.Reason]


def test_limits() -> None:
    """The document names the limits of the implementation."""
    assert f"1 to {messages.MAX_DATA:,} bytes of the stream" in DOCUMENT
    assert DOCUMENT.count(f"text in UTF-8 (at most {messages.MAX_TEXT})") == 2
