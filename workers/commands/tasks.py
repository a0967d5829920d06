"""`metaopt tasks`: what there is to train on, what it costs, and whether it keeps its promises."""

import dataclasses
import importlib
from collections.abc import Iterator
from typing import Annotated, Any

import tyro

from workers.commands.table import print_records

# JAX is imported by `run`, not before: help is instant.

PAGE = 100  # configurations of a family
NUM_CONFIGURATIONS = 1000  # of each sampled family, as released
CHECK_FAILED = 1


@dataclasses.dataclass(frozen=True)
class TasksList:
    """Lists the families, fixed tasks and augmentations, or the tasks of one family."""

    family: str | None = None  # of TaskSet, or `fixed`: lists its tasks
    page: int = 0  # of the tasks of a family, a hundred each
    json: bool = False  # print JSON

    def run(self) -> int:
        """Prints one row per family, or one per task."""
        if self.family is None:
            records = [*_sampled(), _fixed(), *_parametric()]
        else:
            records = _tasks_of(self.family, self.page)
        print_records(records, self.json)
        return 0


@dataclasses.dataclass(frozen=True)
class TasksTime:
    """Measures how long an inner step of tasks takes here; later estimates are corrected by it."""

    # names, or files of `metaopt tasks sample`
    tasks: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="TASKS")]
    json: bool = False  # print JSON

    def run(self) -> int:
        """Prints one row per task, with the time that was estimated before."""
        from taskset import catalog, timings
        from workers.commands import task_file

        named = [name for given in self.tasks for name in task_file.names(given)]
        names = dict.fromkeys(catalog.name_of(catalog.build(name)) for name in named)
        records = []
        for name in names:
            estimated, measured = timings.estimate(name), timings.measure(name)
            records.append(
                {
                    "name": name,
                    "estimated ms": 1000 * estimated,
                    "measured ms": 1000 * measured,
                    "measured / estimated": measured / estimated,
                }
            )
        print_records(records, self.json)
        return 0


@dataclasses.dataclass(frozen=True)
class TasksCheck:
    """Puts a task family of your own through the promises that every family has to keep."""

    # a class without required fields, or an instance; importable from the working folder
    family: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODULE:FAMILY")]
    json: bool = False  # print JSON

    def run(self) -> int:
        """Prints one row per check; returns 1 when one of them failed."""
        from taskset import check
        from workers.commands.own_code import own_family

        findings = check.check(own_family(self.family))
        print_records([finding._asdict() for finding in findings], self.json)
        return 0 if all(finding.ok for finding in findings) else CHECK_FAILED


def _sampled() -> Iterator[dict[str, Any]]:
    """The rows of the families of which configurations are drawn."""
    from taskset import configs
    from taskset.named import MODULES

    for name, module in MODULES.items():
        seeds = range(NUM_CONFIGURATIONS)
        feasible = sum(configs.feasible(f"{name}_seed{seed}") for seed in seeds)
        what = _first_line(importlib.import_module(module))
        yield _row(name, "sampled", f"{feasible} of {len(seeds)}", {}, what)


def _fixed() -> dict[str, Any]:
    from taskset import fixed
    from taskset.named import fixed_names

    count = len(fixed_names())
    return _row("fixed", "fixed", f"{count} of {count}", {}, _first_line(fixed))


def _parametric() -> Iterator[dict[str, Any]]:
    """The rows of our own families and of the augmentations."""
    from taskset.augment import AUGMENTATIONS
    from taskset.catalog import FAMILIES, UNNAMED

    for kind, made in (("parametric", FAMILIES), ("augmentation", AUGMENTATIONS)):
        for name, cls in made.items():
            fields = [field for field in dataclasses.fields(cls) if field.name not in UNNAMED]
            defaults = {field.name: _plain(field.default) for field in fields}
            yield _row(name, kind, None, defaults, _first_line(cls))


def _row(
    name: str, kind: str, tasks: str | None, defaults: dict[str, Any], what: str
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "tasks that can be built": tasks,
        "keys and defaults": defaults or None,
        "what": what,
    }


def _first_line(documented: Any) -> str:
    return (documented.__doc__ or "").strip().partition("\n")[0]


def _plain(value: Any) -> Any:
    return "x".join(map(str, value)) if isinstance(value, tuple) else value


def _tasks_of(family: str, page: int) -> list[dict[str, Any]]:
    """One row per fixed task, or per configuration of a page of a sampled family."""
    from taskset import configs
    from taskset.errors import InputError, unknown_name
    from taskset.mixture import split_of
    from taskset.named import fixed_names, names

    if family == "fixed":
        return [{"name": name} for name in fixed_names()]
    if family not in names():
        raise unknown_name("family with tasks to list", family, ["fixed", *names()])
    if page < 0:
        raise InputError(f"--page is {page}; it must be at least 0")
    return [
        {
            "name": f"{family}_seed{seed}",
            "split": split_of(seed),
            "cannot be built": configs.infeasible_reason(f"{family}_seed{seed}"),
        }
        for seed in range(page * PAGE, (page + 1) * PAGE)
    ]
