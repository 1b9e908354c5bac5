"""What the settings of a relay may be, and what is said of those that may not."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest

from relay import RelaySettings
from relay.settings import Setting

TIMES = ["pair_ttl", "sweep_interval", "head_timeout", "close_timeout"]
PORT = Setting("A port.", "a whole number from 0 to 65535", int, minimum=0, maximum=65535)
WAIT = Setting("A time.", "a number of seconds from 0.001", float, minimum=0.001)


def with_setting(name: str, value: object) -> RelaySettings:
    """Return settings of which one has this value, be it of the right type or not."""
    return RelaySettings(**{name: value})  # type: ignore[arg-type]


def test_defaults() -> None:
    """The defaults are those that the contract names, in seconds and bytes."""
    assert asdict(RelaySettings()) == {
        "pair_ttl": 300.0,
        "sweep_interval": 30.0,
        "head_timeout": 10.0,
        "close_timeout": 5.0,
        "max_message_size": 104_857_600,
    }


def test_every_setting_says_what_it_is() -> None:
    """Every field has what the command line makes an option of, and a default that is allowed."""
    for item in fields(RelaySettings):
        about = item.metadata["setting"]
        assert isinstance(about, Setting)
        assert about.help.endswith(".")
        assert about.parse(item.name, str(item.default)) == item.default


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", [0.001, 1, 2.5, 1e308])
def test_good_time(name: str, value: float) -> None:
    """A time is any finite number from a millisecond on, whole or not."""
    assert getattr(with_setting(name, value), name) == value


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", [0, 0.0, -0.0, 0.0009, -1, -math.inf, math.inf, math.nan])
def test_time_out_of_range(name: str, value: float) -> None:
    """A time that is no time is refused with its name, what it must be, and what it was."""
    with pytest.raises(ValueError, match=r"number of seconds") as refused:
        with_setting(name, value)
    assert str(refused.value) == f"{name} must be a number of seconds from 0.001, not {value!r}"


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", [True, False, None, "1", b"1", 1j, [1.0]])
def test_time_of_a_wrong_type(name: str, value: object) -> None:
    """A time that is not a number is refused, a truth value too."""
    with pytest.raises(TypeError) as refused:
        with_setting(name, value)
    assert str(refused.value) == f"{name} must be a number of seconds from 0.001, not {value!r}"


@pytest.mark.parametrize("value", [0, 1, 2**63, 10**300])
def test_good_size(value: int) -> None:
    """A size is any whole number from 0 on."""
    assert RelaySettings(max_message_size=value).max_message_size == value


@pytest.mark.parametrize("value", [-1, -(2**70)])
def test_size_out_of_range(value: int) -> None:
    """A negative size is refused with its name, what it must be, and what it was."""
    with pytest.raises(ValueError, match="whole number") as refused:
        RelaySettings(max_message_size=value)
    assert str(refused.value) == (
        f"max_message_size must be a whole number of bytes, or 0 for no limit, not {value}"
    )


@pytest.mark.parametrize("value", [1.0, 0.0, math.nan, math.inf, True, False, None, "1"])
def test_size_of_a_wrong_type(value: object) -> None:
    """A size that is not a whole number is refused, even one that has no fraction."""
    with pytest.raises(TypeError, match=r"^max_message_size must be a whole number of bytes"):
        with_setting("max_message_size", value)


@pytest.mark.parametrize("name", [*TIMES, "max_message_size"])
def test_number_beyond_the_floats(name: str) -> None:
    """A whole number that no float can hold is refused as any other bad value, or is good."""
    try:
        with_setting(name, 10**400)
    except ValueError as refused:
        assert str(refused).startswith(name)  # noqa: PT017 - both ways are good


def test_bad_settings_change_nothing() -> None:
    """A copy with a bad value is refused, and the original is what it was."""
    settings = RelaySettings(pair_ttl=10)
    with pytest.raises(ValueError, match="pair_ttl"):
        replace(settings, pair_ttl=-1)
    assert settings == RelaySettings(pair_ttl=10)


def test_settings_are_frozen() -> None:
    """Settings do not change once they are made, and have no room for others."""
    settings = RelaySettings()
    with pytest.raises(FrozenInstanceError):
        settings.pair_ttl = 1.0  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        settings.unknown = 1.0  # type: ignore[attr-defined]
    assert settings == RelaySettings()
    assert hash(settings) == hash(RelaySettings())


def test_settings_are_named() -> None:
    """No setting is given by its place, and none that is not known."""
    with pytest.raises(TypeError):
        RelaySettings(300.0)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        with_setting("max_memory", 1)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("65535", 65535), (" 80 ", 80)])
def test_whole_number_in_text(text: str, value: int) -> None:
    """A whole number is read from text as such."""
    parsed = PORT.parse("port", text)
    assert (parsed, type(parsed)) == (value, int)


@pytest.mark.parametrize(("text", "value"), [("1", 1.0), ("0.001", 0.001), ("1e3", 1000.0)])
def test_time_in_text(text: str, value: float) -> None:
    """A time is read from text as a float."""
    parsed = WAIT.parse("wait", text)
    assert (parsed, type(parsed)) == (value, float)


@pytest.mark.parametrize("text", ["", "x", "1.0", "1e3", "0x50", "--1", "nan"])
def test_text_that_is_no_whole_number(text: str) -> None:
    """Text that is no whole number is refused in one line that quotes it."""
    with pytest.raises(ValueError, match=r"^port must be") as refused:
        PORT.parse("port", text)
    assert str(refused.value) == f"port must be a whole number from 0 to 65535, not {text!r}"
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("text", ["-1", "65536", "9" * 100])
def test_whole_number_in_text_out_of_range(text: str) -> None:
    """A whole number out of its range is refused in one line that quotes it."""
    with pytest.raises(ValueError, match=r"^port must be") as refused:
        PORT.parse("port", text)
    assert str(refused.value) == f"port must be a whole number from 0 to 65535, not {text}"


@pytest.mark.parametrize("text", ["", "soon", "5s", "0", "-1", "nan", "inf", "-inf", "1e999"])
def test_text_that_is_no_time(text: str) -> None:
    """Text that is no time is refused in one line with the name."""
    with pytest.raises(ValueError, match=r"^wait must be a number of seconds from 0\.001, not "):
        WAIT.parse("wait", text)
