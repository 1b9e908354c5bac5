"""Refuse docstrings that begin with a question word: they name no subject (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUESTION = re.compile(r"(what|whether|how|which|where|who|when)\b", re.IGNORECASE)
FOLDERS = (".ci", "benchmarks", "docs", "examples", "proof", "relay", "tests")


def docstrings(tree: ast.Module) -> list[ast.Constant]:
    """Return the docstrings of a module: also those below an assignment or a field."""
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]


def main() -> int:
    """Print the docstrings that begin with a question word; return the exit status."""
    paths = [ROOT / "noxfile.py"]
    paths += [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    found = [
        f"{path.relative_to(ROOT)}:{text.lineno}: {str(text.value).strip().splitlines()[0]}"
        for path in paths
        for text in docstrings(ast.parse(path.read_text()))
        if QUESTION.match(str(text.value).lstrip())
    ]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
