"""Task names: "name:key=value,key=value", as "mlp:dataset=digits,hidden=32x16".

The name is that of a family of ours, or of a task of TaskSet: "mlp_family_seed7:source=embedded",
"TwoD_Rosenbrock:source=embedded". Keys are the fields of the family's class; those that a name
omits take their defaults. Tuples are written with x between, and none when empty. Augmentations
follow with a plus: "mlp+rescale_loss:spread=10+delay_gradient:steps=2", the outermost last.
"""

import dataclasses
import re
import typing
from typing import Any, TypeAlias

import numpy as np

from taskset.augment import AUGMENTATIONS, Augmented
from taskset.base import TaskFamily
from taskset.errors import InputError, unknown_name
from taskset.families.mlp import MLPFamily
from taskset.families.quadratic import QuadraticFamily
from taskset.named import NamedFamily, check_name, fixed_names, names
from taskset.options import Buckets

Family: TypeAlias = MLPFamily | QuadraticFamily

FAMILIES: dict[str, type[Family]] = {"mlp": MLPFamily, "quadratic": QuadraticFamily}


# Fields that are not keys: the name itself, and what an augmentation is made from.
UNNAMED = ("name", "family")


def build(name: str) -> TaskFamily:
    """The family with this name.

    Raises `InputError` when the name, a key or a data set is unknown, or a value has the wrong
    type or is out of range.
    """
    base, *augmentations = re.split(r"\+(?=[a-z])", name)
    family = _build_base(base)
    for augmentation in augmentations:
        kind, _, settings = augmentation.partition(":")
        if kind not in AUGMENTATIONS:
            raise unknown_name("augmentation", kind, AUGMENTATIONS)
        made_by = AUGMENTATIONS[kind]
        family = made_by(family, **_values(augmentation, made_by, settings))
    return family


def _build_base(name: str) -> TaskFamily:
    family_name, _, settings = name.partition(":")
    if family_name in FAMILIES:
        return FAMILIES[family_name](**_values(name, FAMILIES[family_name], settings))
    if family_name in names():
        raise InputError(f"{family_name!r} is a family; name one of its tasks: {family_name}_seed0")
    if "_seed" not in family_name and family_name not in fixed_names():
        raise unknown_name("task", family_name, [*FAMILIES, *names(), *fixed_names()])
    check_name(family_name)
    values = _values(name, NamedFamily, settings)
    return NamedFamily(**{"name": family_name, **values})


def _values(name: str, family: type[TaskFamily], settings: str) -> dict[str, Any]:
    """The fields of `family` that the name gives, from the part behind its colon."""
    types = typing.get_type_hints(family)
    assert dataclasses.is_dataclass(family)
    valid = [field.name for field in dataclasses.fields(family) if field.name not in UNNAMED]
    family_name = name.partition(":")[0]
    values: dict[str, Any] = {}
    for setting in settings.split(",") if settings else ():
        key, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"task {name!r}: {setting!r} is not key=value")
        if key not in valid:
            raise unknown_name(f"key of {family_name!r}", key, valid)
        if key in values:
            raise InputError(f"task {name!r}: {key} is given twice")
        kind = str if typing.get_origin(types[key]) is typing.Literal else types[key]
        try:
            values[key] = _parse(text, kind)
        except ValueError:
            raise InputError(
                f"task {name!r}: {key} is {text!r}; it must be {_EXPECTED[kind]}"
            ) from None
    return values


def name_of(family: TaskFamily) -> str:
    """The shortest name that builds `family`: what differs from the defaults, in order of fields.

    A task of TaskSet always names the source of its data. Raises `InputError` when its class has
    no name in `FAMILIES`.
    """
    for kind, known in AUGMENTATIONS.items():
        if isinstance(family, known):
            changed = ",".join(_changed(family))
            return f"{name_of(family.family)}+{kind}{':' if changed else ''}{changed}"
    if isinstance(family, NamedFamily):
        return f"{family.name}:{','.join(_changed(family, always=('source',)))}"
    for family_name, known in FAMILIES.items():
        if isinstance(family, known):
            changed = _changed(family)
            return f"{family_name}:{','.join(changed)}" if changed else family_name
    raise InputError(f"{type(family).__name__} has no task name; add it to taskset.catalog")


def _changed(family: TaskFamily, always: tuple[str, ...] = ()) -> list[str]:
    """The fields but the name, as key=value, that differ from their defaults or are in `always`."""
    assert dataclasses.is_dataclass(family)
    return [
        f"{field.name}={_format(getattr(family, field.name))}"
        for field in dataclasses.fields(family)
        if field.name not in UNNAMED
        and (field.name in always or getattr(family, field.name) != field.default)
    ]


def exact(family: TaskFamily) -> TaskFamily:
    """`family` without padding: for evaluation, and for what counts its parameters."""
    return with_buckets(family, "exact")


def with_buckets(family: TaskFamily, buckets: Buckets) -> TaskFamily:
    """The same tasks in programs of their own, or of buckets; families without a choice stay."""
    if isinstance(family, Augmented):
        return dataclasses.replace(family, family=with_buckets(family.family, buckets))
    if isinstance(family, NamedFamily):
        return dataclasses.replace(family, buckets=buckets)
    return family


def draw(family_name: str, seed: int) -> TaskFamily:
    """A configuration drawn from the family's own distribution; the same seed, the same one.

    Raises `InputError` for an unknown family, or a seed outside [0, 2**32), and `InfeasibleTask`
    for a configuration that cannot be built.
    """
    if family_name in names():
        return NamedFamily(f"{family_name}_seed{seed}")
    if family_name not in FAMILIES:
        raise unknown_name("task family", family_name, [*FAMILIES, *names()])
    if not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed}; it must be at least 0 and below 2**32")
    return FAMILIES[family_name].draw(np.random.RandomState(seed))


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
