"""What the documents say of the configuration and the command line is what the code says."""

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import command_lines
import pytest

from metaopt.estimators import GradientEstimator
from metaopt.hyperparameter_training import HyperparameterTraining
from metaopt.inner_problem import InnerProblem
from metaopt.trainings import Schedules
from taskset.mixture import Mixture
from workers import strict_toml
from workers.config import NO_FAMILY, RunConfig
from workers.tune_config import TuneConfig

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
]

OPTIONAL_TABLES = {"mixture": Mixture()}

Defaults = dict[tuple[str, str | None], dict[str, Any]]  # by table and kind: by key


def defaults_of_the_schema() -> Defaults:
    found: Defaults = {}

    def add(at: str, value: Any, declared: type | None, schema: strict_toml.Schema) -> None:
        table = strict_toml.to_table(value, schema, declared)
        kind = table.pop("kind", None)
        for name, annotation in strict_toml.fields_of(type(value), schema).items():
            inner = getattr(value, name)
            if inner is None and name in OPTIONAL_TABLES:
                inner = OPTIONAL_TABLES[name]
                del table[name]
                add(name, inner, None, schema)
            elif dataclasses.is_dataclass(inner):
                del table[name]
                kinds = schema.kinds.get(annotation, {"": type(inner)}).values()
                for other in kinds:
                    default = _default_of(other, schema)
                    add(f"{at}.{name}".lstrip("."), default, annotation, schema)
        found.setdefault((at, kind), {}).update(table)

    for kind in (RunConfig, TuneConfig):
        add("", kind(), None, kind.schema)
    return found


def _default_of(kind: type, schema: strict_toml.Schema) -> Any:
    if issubclass(kind, GradientEstimator):
        return kind(schema.unnamed[InnerProblem])
    if issubclass(kind, HyperparameterTraining):
        return kind(NO_FAMILY, Schedules())
    return kind()


def defaults_of_the_document() -> Defaults:
    """From `## [table]`, `### kind = "Kind"` and rows `| `key` | `default` | ...`."""
    found: Defaults = {}
    table, kind = "", None
    for line in (ROOT / "docs" / "configuration.md").read_text().splitlines():
        if heading := re.match(r"## `\[(.+)\]`", line):
            table, kind = heading[1], None
        elif heading := re.match(r'### `kind = "(\w+)"`', line):
            kind = heading[1]
            found.setdefault((table, kind), {})
        elif row := re.match(r"\| `(\w+)` \| `(.+?)` \|", line):
            found.setdefault((table, kind), {})[row[1]] = tomllib.loads(f"x = {row[2]}")["x"]
    return found


def test_every_key_is_documented_with_its_default():
    documented, schema = defaults_of_the_document(), defaults_of_the_schema()
    assert documented.keys() == schema.keys()
    for table, keys in schema.items():
        assert documented[table] == keys, table


def quoted_commands() -> list[str]:
    return sorted({command for path in DOCUMENTS for command in command_lines.quoted(path)})


@pytest.mark.parametrize("command", quoted_commands())
def test_quoted_commands_are_understood(command: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    (tmp_path / "runs" / "latest").mkdir(parents=True)
    (tmp_path / "runs" / "latest" / "config.toml").write_text("")
    command_lines.understood(command)


def test_there_are_commands_to_check():
    assert len(quoted_commands()) > 5


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(path: Path):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text())
    assert all((path.parent / link).exists() for link in links), links
