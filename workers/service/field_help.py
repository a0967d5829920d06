"""What is said of the fields of a dataclass: the comments in its source, which --help shows too."""

import ast
import dataclasses
import functools
import inspect
import io
import textwrap
import tokenize
from collections.abc import Mapping
from typing import Any


@functools.cache
def comments(cls: type) -> Mapping[str, str]:
    """The comment of each field by name: that behind it, or else the lines of those above it."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base) and "__annotations__" in vars(base):
            found |= _own(base)
    return found


def _own(cls: Any) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(cls))
    except (OSError, TypeError):  # made while running
        return {}
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    said = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    lines = source.splitlines()
    alone = {line: text for line, text in said.items() if lines[line - 1].lstrip()[:1] == "#"}
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field in definition.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            behind = said.get(field.end_lineno or field.lineno)
            found[field.target.id] = behind or _above(field.lineno, alone)
    return found


def _above(line: int, alone: Mapping[int, str]) -> str:
    """The comments in the lines right above `line`, as one."""
    first = line
    while first - 1 in alone:
        first -= 1
    return " ".join(alone[i] for i in range(first, line))
