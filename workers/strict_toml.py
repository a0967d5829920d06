"""Frozen dataclasses as TOML tables, and back, strictly.

A table has the fields of a dataclass as keys. Where a field is declared as an abstract class, the
key `kind` of its table names the class that is meant; without it, that of the default is. A class
that the schema does not have is "module:Class", which is read where the schema says how. A field
that may be None is left out, or "none". Pairs of a name and a value are a sub-table.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar, cast

from taskset.errors import InputError, unknown_name

T = TypeVar("T")

EXPECTED = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}


class Schema(NamedTuple):
    """What the annotations of the dataclasses do not say."""

    kinds: Mapping[type, Mapping[str, type]]  # by abstract class: what `kind` may name
    unnamed: Mapping[type, Any]  # the value of every field of a type that no table can give
    own: Mapping[type, Callable[[str], type]] = {}  # what finds "module:Class"; imports it


def from_table(
    cls: type[T], table: Mapping[str, Any], schema: Schema, default: T | None = None, at: str = ""
) -> T:
    """The dataclass that `table` describes; keys that it lacks are as in `default`.

    `at` is the name of the table in messages. Raises `InputError` for an unknown key, with the
    nearest valid one, and for a value of the wrong type; errors of the dataclasses pass through.
    """
    kind = _kind(cls, table, schema, default, at)
    annotations = fields_of(kind, schema)
    allowed = set(annotations) | ({"kind"} if cls in schema.kinds else set())
    for key in table:
        if key not in allowed:
            raise unknown_name(f"key in [{at}]" if at else "key", key, allowed)
    values = _unnamed(kind, schema) | _defaults(kind, default)
    for name, annotation in annotations.items():
        key = f"{at}.{name}" if at else name
        if name in table:
            values[name] = _value(table[name], annotation, schema, values.get(name), key)
        elif name not in values:
            raise InputError(f"{key} is missing; it has no default")
    return kind(**values)


def to_table(value: Any, schema: Schema, cls: type | None = None) -> dict[str, Any]:
    """The table of every field, from which `from_table` makes `value` again.

    `cls` is the class that the field is declared as, when it is an abstract one.
    """
    table: dict[str, Any] = {}
    if cls is not None and cls in schema.kinds:
        table["kind"] = _name(value, cls, schema)
    for name, annotation in fields_of(type(value), schema).items():
        table[name] = _plain(getattr(value, name), annotation, schema)
    return table


def to_toml(table: Mapping[str, Any], at: str = "") -> str:
    """Nested tables of plain values as TOML."""
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lines = [f"{_key(key)} = {_literal(table[key])}\n" for key in table if key not in inner]
    for key, value in inner.items():
        name = f"{at}{_key(key)}"
        lines.append(f"\n[{name}]\n{to_toml(value, f'{name}.')}")
    return "".join(lines)


def fields_of(cls: type, schema: Schema) -> dict[str, Any]:
    """The annotations of those fields of a dataclass that a table may name."""
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    return {name: hints[name] for name in names if hints[name] not in schema.unnamed}


def _kind(cls: Any, table: Mapping[str, Any], schema: Schema, default: Any, at: str) -> Any:
    if cls not in schema.kinds:
        return cls
    kinds = schema.kinds[cls]
    name = str(table.get("kind", "none" if default is None else _name(default, cls, schema)))
    if name in kinds:
        return kinds[name]
    if ":" not in name:
        raise unknown_name(f"{at}.kind", name, kinds)
    if cls not in schema.own:
        raise InputError(
            f"{at}.kind is {name!r}; code of your own is taken as problem.training, by "
            "`metaopt tune` on the command line, and nowhere else"
        )
    return schema.own[cls](name)


def _name(value: Any, cls: type, schema: Schema) -> str:
    """What `kind` calls the class of `value`."""
    kind = type(value)
    known = schema.kinds[cls].get(kind.__name__) is kind
    return kind.__name__ if known else f"{kind.__module__}:{kind.__qualname__}"


def _unnamed(cls: type, schema: Schema) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {name: schema.unnamed[hint] for name, hint in hints.items() if hint in schema.unnamed}


def _defaults(cls: Any, default: Any) -> dict[str, Any]:
    if type(default) is cls:
        return {field.name: getattr(default, field.name) for field in dataclasses.fields(cls)}
    found = {}
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            found[field.name] = field.default
        elif hasattr(default, field.name):  # has none of its own
            found[field.name] = getattr(default, field.name)
    return found


def _value(value: Any, annotation: Any, schema: Schema, default: Any, key: str) -> Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        (annotation,) = (argument for argument in arguments if argument is not types.NoneType)
        return None if value == "none" else _value(value, annotation, schema, default, key)
    if origin is Literal:
        if value not in arguments:
            raise unknown_name(f"value of {key}", str(value), arguments)
        return value
    if origin is tuple:
        return _tuple(value, arguments[0], schema, key)
    if dataclasses.is_dataclass(annotation):
        if not isinstance(value, Mapping):
            raise InputError(f"{key} is {value!r}; expected a table, [{key}]")
        return from_table(cast(type, annotation), value, schema, default, key)
    return _number_or_text(value, annotation, key)


def _tuple(value: Any, item: Any, schema: Schema, key: str) -> tuple[Any, ...]:
    if typing.get_origin(item) is tuple:
        if not isinstance(value, Mapping):
            raise InputError(f"{key} is {value!r}; expected a table, [{key}]")
        _, of = typing.get_args(item)
        return tuple((k, _value(v, of, schema, None, f"{key}.{k}")) for k, v in value.items())
    if not isinstance(value, list):
        raise InputError(f"{key} is {value!r}; expected a list")
    return tuple(_value(v, item, schema, None, f"{key}[{i}]") for i, v in enumerate(value))


def _number_or_text(value: Any, annotation: Any, key: str) -> Any:
    if annotation is float and type(value) is int:
        return float(value)
    if type(value) is not annotation:
        raise InputError(f"{key} is {value!r}; expected {EXPECTED[annotation]}")
    return value


def _plain(value: Any, annotation: Any, schema: Schema) -> Any:
    if value is None:
        return "none"
    if dataclasses.is_dataclass(value):
        return to_table(value, schema, annotation)
    if isinstance(value, tuple):
        (item, *_) = typing.get_args(annotation)
        return dict(value) if typing.get_origin(item) is tuple else list(value)
    return value


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else json.dumps(key)


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value)
