"""What the desk is asked. Only its process imports what answers, and JAX with it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from metaopt.client.models import Recipe, Task, TaskFamily, Value
from workers.service.resolved import Limits, Resolved


def recipes(folder: Path | None) -> list[Recipe]:
    """See `workers.service.recipes.read`."""
    from workers.service import recipes

    return recipes.read(folder)


def resolve(
    config: str,
    changes: Mapping[str, Value],
    limits: Limits,
    launcher: Literal["process", "ray"],
) -> Resolved:
    """See `workers.service.resolution.resolve`."""
    from workers.service import resolution

    return resolution.resolve(config, changes, limits, launcher)


def form(config: str, changes: Mapping[str, Value], limits: Limits, name: str) -> Recipe:
    """See `workers.service.resolution.form`."""
    from workers.service import resolution

    return resolution.form(config, changes, limits, name)


def snippet(run: str, config: str) -> str:
    """See `workers.service.resolution.snippet`."""
    from workers.service import resolution

    return resolution.snippet(run, config)


def scale(folder: Path, number: int) -> None:
    """See `workers.commands.runs.scale`."""
    from workers.commands import runs

    runs.scale(folder, number)


def families() -> list[TaskFamily]:
    """See `workers.service.explorer.families`."""
    from workers.service import explorer

    return explorer.families()


def tasks(family: str, seed: int, count: int) -> list[Task]:
    """See `workers.service.explorer.tasks`."""
    from workers.service import explorer

    return explorer.tasks(family, seed, count)


def thumbnail(task: str) -> str:
    """See `workers.service.explorer.thumbnail`."""
    from workers.service import explorer

    return explorer.thumbnail(task)
