"""Command lines in documents and deployment files, parsed by our own parser."""

import dataclasses
import importlib
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from workers import cli, flags

ROOT = Path(__file__).parents[1]


def quoted(document: Path) -> Iterator[str]:
    """The lines of code blocks that begin with `metaopt `."""
    inside = False
    for line in document.read_text().splitlines():
        inside ^= line.startswith("```")
        if (inside or line.startswith("    ")) and line.strip().startswith("metaopt "):
            yield line.strip()


def understood(command: str | Sequence[str]) -> Any:
    """The dataclass that a whole command line describes; fails for one that is none."""
    words = shlex.split(command, comments=True) if isinstance(command, str) else list(command)
    arguments = words[1:]
    named = [name for name in cli.COMMANDS if arguments[: len(name.split())] == name.split()]
    assert named, command
    entry = cli.COMMANDS[named[0]]
    parser = getattr(importlib.import_module(f"workers.commands.{entry.module}"), entry.name)
    rest = [a for a in arguments[len(named[0].split()) :] if a != "--help"]  # it would exit
    parsed = flags.parse(parser, rest, "") if isinstance(parser, type) else parser(rest, "")
    assert dataclasses.is_dataclass(parsed)
    return parsed
