"""Refuse docstrings that begin with a question word: they name no subject (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUESTION = re.compile(r"(what|whether|how|which|where|who|when)\b", re.IGNORECASE)
FOLDERS = (".ci", "benchmarks", "docs", "examples", "relay", "tests")
REMAINING = {"benchmarks": 16, "relay": 0, "tests": 120}
"""Docstrings of each folder that are still to be rewritten. The numbers may only fall."""


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
    """Print the docstrings of each folder that has more than it may; return the exit status."""
    found = dict[str, list[str]]()
    for path in [
        ROOT / "noxfile.py",
        *(p for name in FOLDERS for p in (ROOT / name).rglob("*.py")),
    ]:
        name = path.relative_to(ROOT)
        for text in docstrings(ast.parse(path.read_text())):
            if QUESTION.match(str(text.value).lstrip()):
                line = f"{name}:{text.lineno}: {str(text.value).strip().splitlines()[0]}"
                found.setdefault(name.parts[0], []).append(line)
    counts = Counter({folder: len(lines) for folder, lines in found.items()})
    failed = [folder for folder in counts if counts[folder] > REMAINING.get(folder, 0)]
    for folder in failed:
        print(*found[folder], sep="\n")
        print(f"{folder}: {counts[folder]} docstrings begin with a question word", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
