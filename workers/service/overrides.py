"""Changes to a configuration that a request asks for, and what it may not ask for.

A request names keys of the schema and gives plain values. It cannot name code, for the schemas here
have no classes but ours, nor a file or a place of the machine or the cluster that it is run on.
"""

import dataclasses
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from metaopt.client.models import ConfigField, Value
from taskset.errors import InputError
from workers import run_folder, strict_toml
from workers.base_config import BaseConfig
from workers.config import RunConfig
from workers.service.field_help import comments
from workers.service.resolved import BadOverrides, Limits
from workers.tune_config import TuneConfig

# Keys that no request may set, and why.
REFUSED: tuple[tuple[str, str], ...] = (
    ("start_from", "it names a folder of the machine that trains"),
    ("learner.optimizer.path", "it names a folder of the machine that trains"),
    ("workers.pool", "the service says where workers run"),
    ("workers.address", "the service says where workers run"),
    ("workers.gpus", "the service says what workers take of the cluster"),
    ("workers.gpu_workers", "the service says what workers take of the cluster"),
)

MAX_OVERRIDES = 200
MAX_TEXT = 300  # characters of a value, or of one in a list
MAX_ITEMS = 100
MAX_INTEGER = 2**53  # larger ones are not integers any more for some who read JSON
KEY = re.compile(r"[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,5}", re.ASCII)
TYPES: dict[Any, Any] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def command_of(config: str) -> Literal["train", "tune"]:
    """The command that runs the configuration with this text."""
    return "tune" if run_folder.is_tuning(config.encode()) else "train"


def resolve(config: str, overrides: Mapping[str, Value], limits: Limits = Limits()) -> BaseConfig:
    """The configuration with the text `config`, changed by `overrides`, values by dotted key.

    A `kind` that is changed leaves out those keys that the new kind does not have. Raises
    `BadOverrides` for a key that is unknown or refused, a value that does not fit, and for more
    workers than `limits` allows; also where `config` itself names code of the user's own.
    """
    if len(overrides) > MAX_OVERRIDES:
        raise BadOverrides(f"{len(overrides)} overrides are given; at most {MAX_OVERRIDES} may be")
    for key, value in overrides.items():
        _check(key, value)
    cls = TuneConfig if command_of(config) == "tune" else RunConfig
    try:
        table = tomllib.loads(config)
        table = _without_keys_of_other_kinds(cls.from_table(table), table, overrides)
        resolved = cls.from_table(table, overrides)
    except InputError as error:
        raise BadOverrides(str(error), _named(str(error), overrides)) from error
    except ValueError as error:
        raise BadOverrides(f"the configuration is not TOML: {error}") from error
    number = resolved.workers.number
    if number > limits.max_workers:
        raise BadOverrides(
            f"workers.number is {number}; this service allows at most {limits.max_workers}",
            ("workers.number",),
        )
    return resolved


def fields(config: BaseConfig) -> list[ConfigField]:
    """The keys of `config` that `resolve` takes, in the order of the file."""
    refused = {key for key, _ in REFUSED}
    return [field for field in _fields(config, config.schema, "") if field.key not in refused]


def _check(key: str, value: Value) -> None:
    """Raises `BadOverrides` for what no configuration may have, whatever its schema."""
    shown = key[:80]
    if not KEY.fullmatch(key):
        raise BadOverrides(
            f"{shown!r} is no key; keys are dotted names, as estimator.num_tasks", (key,)
        )
    for refused, reason in REFUSED:
        if key == refused or key.startswith(f"{refused}.") or refused.startswith(f"{key}."):
            raise BadOverrides(f"{shown} cannot be set here: {reason}", (key,))
    if isinstance(value, list) and len(value) > MAX_ITEMS:
        raise BadOverrides(f"{shown} has {len(value)} items; at most {MAX_ITEMS} may be", (key,))
    for text in [value] if isinstance(value, str) else value if isinstance(value, list) else []:
        if len(text) > MAX_TEXT:
            raise BadOverrides(f"{shown} has {len(text)} characters; at most {MAX_TEXT}", (key,))
        if not text.isprintable() or ".." in text:  # names of data sets become those of folders
            raise BadOverrides(
                f"{shown} is {text!r}; it must be printable and without '..'", (key,)
            )
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise BadOverrides(f"{shown} is {str(value)[:30]}…; at most 2**53 is taken", (key,))


def _named(message: str, overrides: Mapping[str, Value]) -> tuple[str, ...]:
    """The overrides that a message is about, by their keys or the last parts of these."""
    whole = tuple(key for key in overrides if re.search(rf"(?<![\w.]){re.escape(key)}\b", message))
    last = lambda key: key.rpartition(".")[2]
    return whole or tuple(
        key for key in overrides if re.search(rf"\b{re.escape(last(key))}\b", message)
    )


def _without_keys_of_other_kinds(
    config: BaseConfig, table: Mapping[str, Any], overrides: Mapping[str, Value]
) -> dict[str, Any]:
    kept = dict(table)
    for key in sorted(overrides):  # outer tables before those in them
        *path, last = key.split(".")
        kinds = _kinds_at(config, path) if last == "kind" and path else {}
        kind = kinds.get(str(overrides[key]))
        if kind is not None:
            names = set(strict_toml.fields_of(kind, config.schema))
            kept = _only(kept, path, names | set(_inner(overrides, path)))
    return kept


def _kinds_at(config: BaseConfig, path: list[str]) -> Mapping[str, type]:
    """What `kind` may name in the table at `path`; nothing where there is no choice."""
    value: Any = config
    declared: Any = None
    for name in path:
        annotations = strict_toml.fields_of(type(value), config.schema)
        if name not in annotations:
            return {}
        declared, value = annotations[name], getattr(value, name)
        if not dataclasses.is_dataclass(value):
            return {}
    return config.schema.kinds.get(declared, {})


def _inner(overrides: Mapping[str, Value], path: list[str]) -> Iterator[str]:
    prefix = ".".join(path) + "."
    return (key[len(prefix) :].split(".")[0] for key in overrides if key.startswith(prefix))


def _only(table: Mapping[str, Any], path: list[str], names: set[str]) -> dict[str, Any]:
    """`table`, of which that at `path` keeps only keys in `names`."""
    if not path:
        return {key: value for key, value in table.items() if key in names}
    first, *rest = path
    inner = table.get(first)
    return {**table, first: _only(inner, rest, names)} if isinstance(inner, dict) else dict(table)


def _fields(value: Any, schema: strict_toml.Schema, at: str) -> Iterator[ConfigField]:
    said = comments(type(value))
    for name, annotation in strict_toml.fields_of(type(value), schema).items():
        key, inner = f"{at}{name}", getattr(value, name)
        if dataclasses.is_dataclass(inner):
            if annotation in schema.kinds:
                yield _kind_field(key, inner, schema.kinds[annotation], said.get(name, ""))
            yield from _fields(inner, schema, f"{key}.")
        elif field := _field(key, annotation, inner, said.get(name, "")):
            yield field


def _kind_field(key: str, value: Any, kinds: Mapping[str, type], said: str) -> ConfigField:
    about = (type(value).__doc__ or "").partition("\n")[0]
    return ConfigField(
        key=f"{key}.kind",
        type="choice",
        value=type(value).__name__,
        choices=list(kinds),
        help=said or about,
    )


def _field(key: str, annotation: Any, value: Any, said: str) -> ConfigField | None:
    """None for what no plain value of a request can be."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        (annotation,) = (a for a in arguments if a is not types.NoneType)
        arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is Literal:
        choices = list(map(str, arguments))
        return ConfigField(key=key, type="choice", value=value, choices=choices, help=said)
    if annotation == tuple[str, ...]:
        return ConfigField(key=key, type="strings", value=list(value), help=said)
    if annotation not in TYPES:
        return None
    return ConfigField(key=key, type=TYPES[annotation], value=value, help=said)
