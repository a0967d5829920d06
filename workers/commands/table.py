"""Records as a table for people, or as JSON for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Record = Mapping[str, Any]  # the same keys in every record of a table


def print_records(records: Sequence[Record], as_json: bool = False) -> None:
    """Prints one record per row: a rich table on a terminal, aligned text elsewhere, or JSON."""
    if as_json:
        print(json.dumps(records, indent=2))
    elif not records:
        print("none")
    elif sys.stdout.isatty():
        Console().print(_rich(records))
    else:
        print(_aligned(records))


def print_record(record: Record, as_json: bool = False) -> None:
    """Prints one record, a key per row."""
    if as_json:
        print(json.dumps(record, indent=2))
    else:
        print_records([{"": key, " ": value} for key, value in record.items()])


def _rich(records: Sequence[Record]) -> Table:
    table = Table(*records[0], show_header=any(key.strip() for key in records[0]))
    for record in records:
        table.add_row(*map(_text, record.values()))
    return table


def _aligned(records: Sequence[Record]) -> str:
    rows = [list(records[0]), *([_text(v) for v in record.values()] for record in records)]
    if not any(key.strip() for key in rows[0]):
        rows = rows[1:]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(t.ljust(w) for t, w in zip(r, widths, strict=True)).rstrip() for r in rows)
    return "\n".join(lines)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(_text, value)) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return str(value)
