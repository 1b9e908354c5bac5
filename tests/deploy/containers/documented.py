"""The commands of a document, by section."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "read_blocks"]


@dataclass(frozen=True)
class Block:
    """A block of shell commands."""

    section: str
    """The nearest heading above the block."""
    lead: str
    """The paragraph above the block, or an empty string."""
    commands: str


def read_blocks(document: Path) -> list[Block]:
    """Return the blocks of shell commands in a Markdown document."""
    blocks = []
    section = lead = ""
    for part in re.split(r"\n\n(?!END)", document.read_text()):
        if part.startswith("#"):
            section, lead = part.lstrip("# "), ""
        elif part.startswith("```sh\n"):
            blocks.append(Block(section, lead, part.removeprefix("```sh\n").removesuffix("```")))
        else:
            lead = part
    return blocks
