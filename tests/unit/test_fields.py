"""Settings: their text form, allowed values and error messages."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pytest

from relay.fields import (
    Field,
    choice,
    flag,
    integer,
    iter_fields,
    listing,
    non_defaults,
    path,
    seconds,
    text,
    validate,
)


def capital(word: str) -> str:
    """Return a word in capitals; raise ValueError if it has other characters than letters."""
    if not word.isalpha():
        raise ValueError
    return word.upper()


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A dataclass with a setting of each kind, and another field."""

    wait: float = seconds(2.0, "A time.")
    pause: float = seconds(0.5, "A time or nothing.", zero="none")
    size: int = integer(7, "A size.", of="bytes")
    count: int | None = integer(None, "A count.", absent="enough")
    good: bool = flag(True, "A flag.")
    colour: str = choice("red", ("red", "blue"), "A colour.")
    word: str = text("ABC", "A word.", "letters", capital, metavar="WORD", short="-w")
    file: str = path("A file.")
    words: tuple[str, ...] = listing("Words.", "words of letters", capital, absent="silence")
    note: str = field(default="no setting")

    def __post_init__(self) -> None:
        validate(self)


ABOUT: dict[str, Field] = {name: about for name, _, about in iter_fields(Example)}

# A setting, what it must be, good texts with their values, and bad texts.
TEXTS: list[tuple[str, str, dict[str, Any], list[str]]] = [
    (
        "wait",
        "a number of seconds from 0.001",
        {"1": 1.0, "0.001": 0.001, "1e3": 1000.0, " 5 ": 5.0, "2.": 2.0, ".5": 0.5, "+1": 1.0}
        | {"90s": 90.0, "5m": 300.0, "1.5h": 5400.0, "1d": 86400.0, " 2 M ": 120.0},
        [
            "",
            "soon",
            "s",
            "5x",
            "5ms",
            "5s5",
            "5s 5",
            "0s",
            "1e999m",
            "1e308d",
            "0",
            "-0",
            "-1",
            "nan",
            "inf",
            "-inf",
            "1e999",
            "1_0",
            "\u0661",
            "\uff11.5",
        ],
    ),
    (
        "pause",
        "a number of seconds from 0.001, or 0 for none",
        {"0": 0.0, "0.0": 0.0, "-0": 0.0, "0.001": 0.001, "17": 17.0},
        ["", "off", "0.0001", "-0.001", "nan", "inf"],
    ),
    (
        "size",
        "a whole number of bytes, or 0 for no limit",
        {"0": 0, "1": 1, " 80 ": 80, str(2**63): 2**63}
        | {"64KiB": 65536, "64 kib": 65536, "10MB": 10**7, "1kB": 1000, "2GiB": 2**31, "0MB": 0},
        [
            "",
            "x",
            "1.0",
            "1e3",
            "0x50",
            "--1",
            "-1",
            "nan",
            "9" * 400,
            "9" * 5000,
            "1_0",
            "5m",
            "KiB",
            "1.5MB",
            "1K",
            "\u0661",
        ],
    ),
    ("count", "a whole number, or 0 for no limit", {"0": 0, "5": 5}, ["", "None", "enough", "-1"]),
    (
        "good",
        "true or false (or 1 or 0, yes or no, on or off)",
        dict.fromkeys(["true", "1", "yes", "on", "True", " ON "], True)
        | dict.fromkeys(["false", "0", "no", "off", "FALSE"], False),
        ["", "maybe", "2", "y", "None"],
    ),
    ("colour", "one of red, blue", {"red": "red", "Blue": "blue", " red ": "red"}, ["", "green"]),
    ("word", "letters", {"abc": "ABC", "ABC": "ABC"}, ["", "a b", "a1"]),
    ("file", "a path", {"": "", "/a b": "/a b", "x": "x"}, ["a\0b"]),
    (
        "words",
        "words of letters",
        {"": (), "a": ("A",), "a,b": ("A", "B"), " a , b ": ("A", "B"), "a,,b,": ("A", "B")},
        ["1", "a,b c"],
    ),
]
TIME = " (units: s, m, h, d)"
SIZE = " (units: kB, KiB, MB, MiB, GB, GiB)"
GOOD = [(name, text, value) for name, _, good, _ in TEXTS for text, value in good.items()]
BAD = [(name, values, text) for name, values, _, bad in TEXTS for text in bad]

WRONG_TYPES: dict[str, list[Any]] = {
    "wait": [True, None, "1", b"1", 1j, [1.0]],
    "pause": [False, None, "0"],
    "size": [1.0, 0.0, math.nan, True, None, "1"],
    "count": [1.0, True, "1"],
    "good": [0, 1, None, "true"],
    "colour": [None, b"red", 1],
    "word": [None, b"abc", 1],
    "file": [None, b"x"],
    "words": [None, "abc", {"a"}, 1],
}


def example(name: str, value: Any) -> Example:
    """Return an example with this value in one field, of the right type or not."""
    return Example(**{name: value})


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_good_text(name: str, text: str, value: Any) -> None:
    """Text is parsed as a value of the right type, in its normal form."""
    parsed = ABOUT[name].parse(name, text)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_written_text(name: str, text: str, value: Any) -> None:
    """The text of a value is parsed as the same value."""
    about = ABOUT[name]
    assert about.parse(name, about.format(value)) == value


@pytest.mark.parametrize(("name", "values", "text"), BAD)
def test_bad_text(name: str, values: str, text: str) -> None:
    """Invalid text is refused in one line with the allowed values."""
    with pytest.raises(ValueError, match=f"^{name} must be") as refused:
        ABOUT[name].parse(name, text)
    line = str(refused.value)
    units = {"wait": TIME, "pause": TIME, "size": SIZE}.get(name, "")
    assert line.startswith(f"{name} must be {values}{units}, not ")
    assert "\n" not in line
    assert refused.value.__context__ is None or refused.value.__suppress_context__


@pytest.mark.parametrize(("name", "values", "text"), BAD)
def test_bad_value(name: str, values: str, text: str) -> None:
    """Construction refuses the values of invalid texts as well."""
    try:
        value = [text] if ABOUT[name].many else ABOUT[name].convert(text)
    except ValueError:
        return
    with pytest.raises(ValueError, match=f"^{name} must be"):
        example(name, value)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, wrong in WRONG_TYPES.items() for value in wrong]
)
def test_wrong_type(name: str, value: Any) -> None:
    """A value of a wrong type is refused with its name and the allowed values."""
    with pytest.raises(TypeError) as refused:
        example(name, value)
    assert str(refused.value) == f"{name} must be {ABOUT[name].values}, not {value!r}"


def test_bad_item() -> None:
    """The error message for a list quotes the invalid item only."""
    with pytest.raises(ValueError, match=r"^words must be words of letters, not 'b c'$"):
        ABOUT["words"].parse("words", "a,b c,d")
    with pytest.raises(TypeError, match=r"^words must be words of letters, not 5$"):
        example("words", ("a", 5))


def test_range() -> None:
    """A number may have a maximum, and the error message quotes the text."""
    port: Field = integer(0, "A.", maximum=65535).metadata["field"]
    assert port.parse("port", "65535") == 65535
    with pytest.raises(
        ValueError, match=r"^port must be a whole number from 0 to 65535, not '65536'$"
    ):
        port.parse("port", "65536")


def test_normal_form() -> None:
    """The values of arguments are put in their normal form, too."""
    given: Any = {"word": "abc", "words": ["a", "b"]}
    made = Example(**given)
    assert (made.word, made.words) == ("ABC", ("A", "B"))
    assert made == Example(word="ABC", words=("A", "B"))
    assert hash(made) == hash(Example(word="ABC", words=("A", "B")))


def test_definitions() -> None:
    """The settings of a dataclass are listed in order, without its other fields."""
    found = list(iter_fields(Example))
    assert [name for name, _, _ in found] == list(WRONG_TYPES)
    assert [default for _, default, _ in found] == [
        2.0,
        0.5,
        7,
        None,
        True,
        "red",
        "ABC",
        "",
        (),
    ]
    assert list(iter_fields(Example())) == found


def test_shown() -> None:
    """People see the text of a value, or the meaning of its absence."""
    assert [about.display(default) for _, default, about in iter_fields(Example)] == [
        "2s",
        "0.5",
        "7",
        "enough",
        "true",
        "red",
        "ABC",
        "none",
        "silence",
    ]
    assert ABOUT["words"].display(("A", "B")) == "A,B"
    assert ABOUT["pause"].display(0.0) == "0"
    assert [ABOUT["wait"].display(time) for time in (90.0, 300.0, 3600.0)] == ["90s", "5m", "1h"]
    assert [ABOUT["size"].display(size) for size in (1000, 1536, 10 * 2**20)] == [
        "1kB",
        "1536",
        "10MiB",
    ]
    assert ABOUT["count"].display(1024) == "1024"
    assert ABOUT["good"].display(False) == "false"


def test_differing() -> None:
    """The settings that differ from their defaults are returned for all instances."""
    assert non_defaults(Example(), Example()) == []
    assert non_defaults(Example(note="more")) == []
    assert non_defaults(Example(size=8, good=False), Example(count=0)) == [
        ("size", 8),
        ("good", False),
        ("count", 0),
    ]
