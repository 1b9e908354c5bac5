"""Allowed values of the settings of a relay, and error messages for others."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, asdict, fields, replace
from typing import Any

import pytest

from relay import RelaySettings
from relay.fields import Field, iter_fields

ABOUT: dict[str, Field] = {name: about for name, _, about in iter_fields(RelaySettings)}
TIMES = [name for name, about in ABOUT.items() if about.metavar == "TIME"]
OFF = [name for name in TIMES if ABOUT[name].zero]
WHOLE = [name for name, about in ABOUT.items() if about.metavar in {"SIZE", "NUMBER"}]


def with_setting(name: str, value: Any) -> RelaySettings:
    """Return settings with this value in one field, of the right type or not."""
    return RelaySettings(**{name: value})


def test_defaults() -> None:
    """The defaults are the documented ones, in seconds and bytes."""
    assert asdict(RelaySettings()) == {
        "pair_ttl": 300.0,
        "sweep_interval": 30.0,
        "handshake_timeout": 10.0,
        "close_timeout": 5.0,
        "max_message_size": 104_857_600,
        "ping_interval": 20.0,
        "ping_timeout": 20.0,
        "stall_timeout": 240.0,
        "takeover_timeout": 2.0,
        "max_connections": None,
        "max_waiting": 0,
        "max_connections_per_client": 0,
        "max_connects_per_minute": 0,
        "trusted_proxies": (),
        "max_bytes_per_second": 0,
        "max_pair_seconds": 0.0,
        "max_pair_bytes": 0,
        "allowed_origins": (),
        "token_file": "",
        "strict_codes": False,
        "test_page": False,
        "drain_delay": 0.0,
    }


def test_every_setting_says_what_it_is() -> None:
    """Every field has the parts of an option, and an allowed default."""
    assert list(ABOUT) == [item.name for item in fields(RelaySettings)]
    for name, default, about in iter_fields(RelaySettings):
        assert about.help.endswith(".")
        assert about.validate(name, default) == default
        if default is not None:
            assert about.parse(name, about.format(default)) == default


def test_kinds() -> None:
    """Every setting has the kind that its field declares."""
    kinds = {
        "float": (float, False, False),
        "int": (int, False, False),
        "int | None": (int, True, False),
        "bool": (bool, False, False),
        "str": (str, False, False),
        "tuple[str, ...]": (str, False, True),
    }
    for item in fields(RelaySettings):
        about = ABOUT[item.name]
        assert (about.kind, about.optional, about.many) == kinds[str(item.type)]


def test_zero_turns_off() -> None:
    """The documented times may be 0, which turns them off, and no other time may."""
    assert set(OFF) == {
        "ping_interval",
        "stall_timeout",
        "takeover_timeout",
        "max_pair_seconds",
        "drain_delay",
    }
    for name in OFF:
        assert getattr(with_setting(name, 0), name) == 0


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", [0.001, 1, 2.5, 1e308])
def test_good_time(name: str, value: float) -> None:
    """A time is a finite number from a millisecond on, with or without a fraction."""
    assert getattr(with_setting(name, value), name) == value


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", [0, 0.0, -0.0, 0.0009, -1, -math.inf, math.inf, math.nan])
def test_time_out_of_range(name: str, value: float) -> None:
    """A time out of range is refused with its name, the allowed values and the value."""
    if name in OFF and value == 0:
        return
    with pytest.raises(ValueError, match=r"number of seconds") as refused:
        with_setting(name, value)
    text = str(refused.value)
    assert text == f"{name} must be {ABOUT[name].values}, not {value!r}"
    assert text.startswith(f"{name} must be a number of seconds from 0.001")


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", [True, False, None, "1", b"1", 1j, [1.0]])
def test_time_of_a_wrong_type(name: str, value: object) -> None:
    """A time that is no number is refused, and so is a bool."""
    with pytest.raises(TypeError) as refused:
        with_setting(name, value)
    assert str(refused.value) == f"{name} must be {ABOUT[name].values}, not {value!r}"


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [0, 1, 2**63, 10**300])
def test_good_size(name: str, value: int) -> None:
    """A size or a count is an integer from 0 on."""
    assert getattr(with_setting(name, value), name) == value


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [-1, -(2**70)])
def test_size_out_of_range(name: str, value: int) -> None:
    """A negative size is refused with its name, the allowed values and the value."""
    with pytest.raises(ValueError, match="whole number") as refused:
        with_setting(name, value)
    text = str(refused.value)
    assert text.startswith(f"{name} must be a whole number")
    assert text.endswith(f", or 0 for no limit, not {value}")


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [1.0, 0.0, math.nan, math.inf, True, False, "1"])
def test_size_of_a_wrong_type(name: str, value: object) -> None:
    """A size that is no integer is refused, even a float without a fraction."""
    with pytest.raises(TypeError, match=rf"^{name} must be a whole number"):
        with_setting(name, value)


@pytest.mark.parametrize("name", WHOLE)
def test_none(name: str) -> None:
    """Only the limit of connections may be None."""
    if name == "max_connections":
        assert RelaySettings(max_connections=None).max_connections is None
    else:
        with pytest.raises(TypeError, match=f"^{name} must be"):
            with_setting(name, None)


@pytest.mark.parametrize("name", [*TIMES, *WHOLE])
def test_number_beyond_the_floats(name: str) -> None:
    """An integer that no float can hold is refused like any other invalid value."""
    with pytest.raises(ValueError, match=f"^{name} must be"):
        with_setting(name, 10**400)


def test_bad_settings_change_nothing() -> None:
    """A copy with an invalid value is refused, and the original is unchanged."""
    settings = RelaySettings(pair_ttl=10)
    with pytest.raises(ValueError, match="pair_ttl"):
        replace(settings, pair_ttl=-1)
    assert settings == RelaySettings(pair_ttl=10)


def test_settings_are_frozen() -> None:
    """Settings are immutable, and have no further attributes."""
    settings = RelaySettings()
    with pytest.raises(FrozenInstanceError):
        settings.pair_ttl = 1.0  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        settings.unknown = 1.0  # type: ignore[attr-defined]
    assert settings == RelaySettings()
    assert hash(settings) == hash(RelaySettings())


def test_settings_are_named() -> None:
    """Positional and unknown settings are refused."""
    with pytest.raises(TypeError):
        RelaySettings(300.0)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        with_setting("max_memory", 1)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::1", "::1"),
        ("FD00:0::/8", "fd00::/8"),
        ("UNIX", "unix"),
    ],
)
def test_trusted_proxy(text: str, kept: str) -> None:
    """A trusted proxy is an address, a network or the word unix, kept in its normal form."""
    assert RelaySettings(trusted_proxies=(text,)).trusted_proxies == (kept,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "proxy.example",
        "10.0.0.1/8",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.0/33",
        "::1%lo",
        "*",
        "unix:",
    ],
)
def test_no_trusted_proxy(text: str) -> None:
    """A name, a network with host bits, or an address with a zone is no trusted proxy."""
    with pytest.raises(ValueError, match=r"^trusted_proxies must be addresses, ") as refused:
        RelaySettings(trusted_proxies=("unix", text))
    assert str(refused.value).endswith(f", not {text!r}")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.Example", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("https://app.example:08443", "https://app.example:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[0::1]:65535", "http://[::1]:65535"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("NULL", "null"),
        ("FILE://", "file://"),
    ],
)
def test_allowed_origin(text: str, kept: str) -> None:
    """An origin is stored as browsers send it: in lower case, without the default port."""
    assert RelaySettings(allowed_origins=(text,)).allowed_origins == (kept,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "app.example",
        "file:///",
        "file:",
        "https://",
        "https://app.example/",
        "https://app.example:65536",
        "https://app.example:x",
        "https://user@app.example",
        "https://*.example",
        "https://bücher.example",
        "http://[::1",
        "http://[1::2::3]",
        "https://app.example\n",
    ],
)
def test_no_allowed_origin(text: str) -> None:
    """A host alone, a path, a pattern or an invalid name is no origin."""
    with pytest.raises(ValueError, match=r"^allowed_origins must be origins like ") as refused:
        RelaySettings(allowed_origins=("null", text))
    assert str(refused.value).endswith(f", not {text!r}")
