"""Task names: "family:key=value,key=value", as "mlp:dataset=digits,hidden=32x16".

Keys are the fields of the family's class; those that a name omits take their defaults. Tuples are
written with x between, and none when empty.
"""

import dataclasses
import typing
from typing import Any, TypeAlias

import numpy as np

from taskset.base import TaskFamily
from taskset.errors import InputError, unknown_name
from taskset.families.mlp import MLPFamily
from taskset.families.quadratic import QuadraticFamily

Family: TypeAlias = MLPFamily | QuadraticFamily

FAMILIES: dict[str, type[Family]] = {"mlp": MLPFamily, "quadratic": QuadraticFamily}


def family_names() -> tuple[str, ...]:
    """The names of all families."""
    return tuple(FAMILIES)


def build(name: str) -> Family:
    """The family with this name.

    Raises `InputError` when the family, a key or a data set is unknown, or a value has the wrong
    type or is out of range.
    """
    family_name, _, settings = name.partition(":")
    family = _class_of(family_name)
    types = typing.get_type_hints(family)
    valid = [field.name for field in dataclasses.fields(family)]
    values: dict[str, Any] = {}
    for setting in settings.split(",") if settings else ():
        key, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"task {name!r}: {setting!r} is not key=value")
        if key not in valid:
            raise unknown_name(f"key of task family {family_name!r}", key, valid)
        if key in values:
            raise InputError(f"task {name!r}: {key} is given twice")
        try:
            values[key] = _parse(text, types[key])
        except ValueError:
            raise InputError(
                f"task {name!r}: {key} is {text!r}; it must be {_EXPECTED[types[key]]}"
            ) from None
    return family(**values)


def name_of(family: TaskFamily) -> str:
    """The shortest name that builds `family`: what differs from the defaults, in order of fields.

    Raises `InputError` when its class has no name in `FAMILIES`.
    """
    for family_name, known in FAMILIES.items():
        if isinstance(family, known):
            changed = [
                f"{field.name}={_format(getattr(family, field.name))}"
                for field in dataclasses.fields(known)
                if getattr(family, field.name) != field.default
            ]
            return f"{family_name}:{','.join(changed)}" if changed else family_name
    raise InputError(f"{type(family).__name__} has no task name; add it to taskset.names.FAMILIES")


def draw(family_name: str, seed: int) -> Family:
    """A configuration drawn from the family's own distribution; the same seed, the same one.

    Raises `InputError` for an unknown family, or a seed outside [0, 2**32).
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed}; it must be at least 0 and below 2**32")
    return _class_of(family_name).draw(np.random.RandomState(seed))


def _class_of(family_name: str) -> type[Family]:
    if family_name not in FAMILIES:
        raise unknown_name("task family", family_name, FAMILIES)
    return FAMILIES[family_name]


_EXPECTED = {
    int: "an integer",
    float: "a number",
    str: "a name",
    tuple[int, ...]: "integers with x between, as 32x16, or none",
}


def _parse(text: str, kind: Any) -> Any:
    """`text` as a value of `kind`, one of `_EXPECTED`. Raises `ValueError` when it is not one."""
    if kind == tuple[int, ...]:
        return () if text == "none" else tuple(int(part) for part in text.split("x"))
    if not text:
        raise ValueError("empty")
    return kind(text)


def _format(value: Any) -> str:
    if isinstance(value, tuple):
        return "x".join(str(part) for part in value) or "none"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)
