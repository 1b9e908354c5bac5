"""The model in proof/model names existing code, and its command knows all of its faults."""

from __future__ import annotations

import importlib
import re
from dataclasses import is_dataclass
from pathlib import Path

import pytest

from proof.model.__main__ import BASE, FAULT, MODEL, Found, faults, parse

TEXT = MODEL.read_text()
DOCUMENT = Path(__file__).parents[2] / "docs/reliability.md"
PLACES = sorted(set(re.findall(r"/\* (\w+)/(\w+)\.py: ([\w.]+)", TEXT)))

OUTPUT = """\
pan:1: assertion violated (sides[p]<=2) (at depth 51)
State-vector 100 byte, depth reached 140, errors: 1
     2873 states, stored
pan: elapsed time 0.01 seconds
"""


@pytest.mark.parametrize(("room", "module", "name"), PLACES)
def test_place_exists(room: str, module: str, name: str) -> None:
    """A comment of the model names an existing function, class, attribute or field."""
    found: object = importlib.import_module(f"relay.{room}.{module}")
    *owners, last = name.split(".")
    for owner in owners:
        found = getattr(found, owner)
    # An attribute that __init__ sets does not exist in its class.
    assert hasattr(found, last) or last in attributes(found)


def attributes(owner: object) -> set[str]:
    """Return the names that the methods of a class assign to ``self``."""
    methods = [value for value in vars(owner).values() if hasattr(value, "__code__")]
    names = {name for method in methods for name in method.__code__.co_names}
    return names | set(getattr(owner, "__annotations__", {})) if is_dataclass(owner) else names


def test_model_has_places() -> None:
    """The pattern of a place finds the comments of the model."""
    assert len(PLACES) > 20
    assert ("pairing", "pair", "Pair.end") in PLACES


def test_faults() -> None:
    """Each fault has its own number and is used in the model."""
    found = list(faults())
    assert [check.fault for check in found] == list(range(1, len(found) + 1))
    for name, _, _ in FAULT.findall(TEXT):
        assert len(re.findall(rf"\b{name}\b", TEXT)) > 1


def test_document_has_checks() -> None:
    """docs/reliability.md has a row for each check that the command prints."""
    document = DOCUMENT.read_text()
    for check in (*BASE, *faults()):
        assert re.search(rf"^\| {re.escape(check.title)} \| [\d,]+ \|$", document, re.MULTILINE)


def test_result() -> None:
    """The result is that of the output. A search that left out runs or statements has none."""
    assert parse(OUTPUT) == Found(1, 2873, 0.01, "assertion violated (sides[p]<=2)")
    complete = OUTPUT.replace("errors: 1", "errors: 0")
    assert parse(complete + '\trelay.pml:137, state 216, "-end-"\n').errors == 0
    for cut_off in ("error: max search depth too small", '\trelay.pml:9, state 12, "p = c"\n'):
        with pytest.raises(ValueError, match=re.escape(cut_off)):
            parse(complete + cut_off)
