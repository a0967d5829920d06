"""From what a request asks for to a configuration that a launcher can take. Imports JAX."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

from metaopt import model_card
from metaopt.client.models import Recipe, Value
from taskset.errors import InputError
from workers import plan
from workers.base_config import BaseConfig
from workers.config import RunConfig
from workers.service import overrides
from workers.service.resolved import Limits, Resolved


def resolve(
    config: str,
    changes: Mapping[str, Value],
    limits: Limits,
    launcher: Literal["process", "ray"],
) -> Resolved:
    """The configuration with the text `config`, as changed, with its workers where they will be.

    Raises `BadOverrides` as `overrides.resolve` does, and `InputError` for data that are not there.
    """
    settings = placed(overrides.resolve(config, changes, limits), launcher)
    if settings.stream() is None:
        plan.check_tasks(settings)
    return Resolved(overrides.command_of(config), settings.to_toml())


def form(config: str, changes: Mapping[str, Value], limits: Limits, name: str) -> Recipe:
    """What may be set in the configuration with the text `config`, as changed.

    Another `kind` has other keys. Raises `BadOverrides` as `overrides.resolve` does.
    """
    settings = overrides.resolve(config, changes, limits)
    return Recipe(
        name=name, title=name, config=settings.to_toml(), fields=overrides.fields(settings)
    )


def placed(settings: BaseConfig, launcher: Literal["process", "ray"]) -> BaseConfig:
    """`settings` with workers where `launcher` has them.

    In processes of the machine, or in the one that learns where that is asked for; or on the
    cluster that a job is a part of.
    """
    if launcher == "ray":
        workers = dataclasses.replace(settings.workers, pool="ray", address="auto")
    elif settings.workers.pool == "ray":
        workers = dataclasses.replace(settings.workers, pool="process")
    else:
        return settings
    return dataclasses.replace(settings, workers=workers)


def snippet(run: str, config: str) -> str:
    """The lines that use the export of a run; none of one that trains no optimizer."""
    try:
        settings = overrides.resolve(config, {}, Limits(max_workers=2**31))
    except InputError:
        return ""
    if not isinstance(settings, RunConfig):
        return ""
    return model_card.snippet(run, settings.horizon.bounds()[1])
