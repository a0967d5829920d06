"""What a list of runs shows of a configuration."""

import functools
import re
from typing import Any, Literal, NamedTuple

from workers.service.store import Config

MAX_TASKS = 20  # that a summary names
ALL_FAMILIES = "all families"  # of a mixture that names none


class Facts(NamedTuple):
    """What a configuration says, in a few words."""

    kind: Literal["train", "tune", "unreadable"]
    num_steps: int | None = None
    optimizer: str = ""
    estimator: str = ""
    tasks: tuple[str, ...] = ()


def facts(config: Config | None) -> Facts:
    """Those of a config.toml, which may be missing, foreign or half written."""
    table = config.table if config else None
    num_steps = _in(table, "learner", "num_steps")
    if table is None or not isinstance(num_steps, int):
        return Facts("unreadable")
    tuned = _in(table, "problem", "training") is not None
    return Facts(
        kind="tune" if tuned else "train",
        num_steps=num_steps,
        optimizer=_kind(table, "problem" if tuned else "optimizer"),
        estimator=_kind(table, "estimator"),
        tasks=_tasks(table),
    )


@functools.lru_cache(maxsize=4096)
def family_of(task: str) -> str:
    """The family of a task's name: "mlp_family" of "mlp_family_seed7:source=embedded"."""
    return re.sub(r"_seed\d+$", "", re.split(r"[:+]", task, maxsplit=1)[0])


def _tasks(table: dict[str, Any]) -> tuple[str, ...]:
    tasks = table.get("tasks")
    if isinstance(table.get("mixture"), dict):
        tasks = table["mixture"].get("components") or [ALL_FAMILIES]
    return tuple(str(task) for task in tasks[:MAX_TASKS]) if isinstance(tasks, list) else ()


def _kind(table: dict[str, Any], name: str) -> str:
    found = _in(table, name, "kind")
    return found if isinstance(found, str) else ""


def _in(table: Any, *keys: str) -> Any:
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    return table
