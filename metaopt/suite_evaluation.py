"""Evaluation of an optimizer over a suite: units of work, and what they add up to.

A unit is one contender on one task. Its key says what it is: the same key, the same numbers. So
what is finished is kept under its key, units can be computed anywhere and in any order, and those
of baselines only once for all optimizers that are compared with them.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

from metaopt import held_out, update_cost
from metaopt.baselines.contenders import AtEveryRate, Contender, Trials
from metaopt.baselines.embedded_curves import data_fingerprint
from metaopt.baselines.grid import mean_loss
from metaopt.baselines.one_rate import Adam
from metaopt.protocols import speed_up
from metaopt.suites import Suite, SuiteTask
from taskset import catalog, costs, timings
from taskset.base import Dataset, Key, TaskFamily
from taskset.cores import num_cores

FORMAT_VERSION = 2  # of evaluation.json, see docs/evaluation.md
# Of the computation: with another one come other numbers, and what is kept is not taken for them.
PROTOCOL_VERSION = 2
MAX_CURVE_STEPS = 200

Record: TypeAlias = Mapping[str, Any]  # what came of a unit, as JSON values


@dataclasses.dataclass(frozen=True, eq=False)
class Unit:
    """One contender on the held-out runs of one task."""

    task: SuiteTask
    contender: Contender
    seeds: tuple[int, ...]

    @property
    def name(self) -> tuple[str, str]:
        """The titles of task and contender."""
        return self.task.title, self.contender.title

    @property
    def announced(self) -> int:
        """The horizon that the contender is told; baselines are always told the true one."""
        is_baseline = self.contender.kind == "baseline"
        return self.task.num_steps if is_baseline else self.task.announced

    def key(self, data: str) -> str:
        """The sha256 of all that decides its numbers; `data` is the fingerprint of the task's."""
        content = {
            "protocol": PROTOCOL_VERSION,
            "metaopt": importlib.metadata.version("metaopt"),
            "platform": platform_name(),
            "contender": self.contender.definition,
            "task": repr(_family(self.task.name)),
            "data": data,
            "num_steps": self.task.num_steps,
            "announced": self.announced,
            "seeds": self.seeds,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def run(self) -> Record:
        """Trains, measures, and returns what evaluation.json says of it, and what it is made of."""
        family, num_steps = _family(self.task.name), self.task.num_steps
        data = family.load_data()
        keys = held_out.evaluation_keys("report", self.seeds)
        trials = self.contender.train(family, data, keys, num_steps, self.announced)
        curves = np.asarray(trials.runs.curves)
        # Averaged over all steps, and then thinned: what is left out has its part in what is kept.
        smoothed = speed_up.smoothed(curves).astype(np.float32)
        kept, best = smoothed[..., list(curve_steps(num_steps))], trials.best
        record: dict[str, Any] = {
            "num_parameters": costs.num_parameters(family),
            "initial": _plain(mean_loss(curves[best, :, 0])),
            "result": {
                "setting": _numbers(trials.settings)[best],
                **_measures(trials),
                "curves": _plain(kept[best]),
                **self._costs(trials.settings[best], family, data, keys[0]),
            },
        }
        if isinstance(self.contender, AtEveryRate) and self.contender.optimizer == Adam():
            rates = [setting["learning_rate"] for setting in _numbers(trials.settings)]
            record["adam_grid"] = {"rates": rates, "curves": _plain(kept)}
        return record

    def _costs(
        self, setting: Mapping[str, Any], family: TaskFamily, data: Dataset, key: Key
    ) -> dict[str, Any]:
        meta_params = self.contender.meta_params_of(setting)
        optimizer = self.contender.optimizer.as_optax(meta_params, num_steps=self.announced)
        cost = update_cost.measure(optimizer, family.sample(data, key).init(key))
        return {
            "update_milliseconds": _rounded(cost.milliseconds),
            "step_milliseconds": _rounded(_gradient_milliseconds(family) + cost.milliseconds),
            "state_bytes_per_parameter": _rounded(cost.state_bytes_per_parameter),
        }


def units(suite: Suite, contenders: Sequence[Contender], seeds: Sequence[int]) -> list[Unit]:
    """All that there is to compute, task by task."""
    return [Unit(task, each, tuple(seeds)) for task in suite.tasks for each in contenders]


def fingerprint(task: SuiteTask) -> str:
    """The sha256 of the data of a task. Loads them, and raises as `TaskFamily.load_data` does."""
    return data_fingerprint(_family(task.name).load_data())


def curve_steps(num_steps: int) -> range:
    """The steps at which curves are kept: evenly spaced from 0, at most `MAX_CURVE_STEPS`."""
    return range(0, num_steps, -(-num_steps // MAX_CURVE_STEPS))


def platform_name() -> str:
    """What programs run on: the device, the cores of this process, and the version of JAX."""
    device = jax.devices()[0]
    kind = "" if device.platform == "cpu" else f" {device.device_kind}"
    return f"{device.platform}{kind}, {num_cores()} cores, jax {jax.__version__}"


def assemble(
    suite: Suite,
    contenders: Sequence[Contender],
    seeds: Sequence[int],
    records: Mapping[tuple[str, str], Record],
    failures: Iterable[Mapping[str, str]],
    **about: str,
) -> dict[str, Any]:
    """evaluation.json, of the records by `Unit.name`; `about` says what the subject is.

    A unit without a record has to be among the failures.
    """
    return {
        "format_version": FORMAT_VERSION,
        **about,
        "suite": suite.name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "metaopt": importlib.metadata.version("metaopt"),
        "platform": platform_name(),
        "seeds": list(seeds),
        "optimizers": [_optimizer(contender, len(seeds)) for contender in contenders],
        "tasks": [_task(task, contenders, records) for task in suite.tasks],
        "failures": [dict(failure) for failure in failures],
    }


def _optimizer(contender: Contender, num_seeds: int) -> dict[str, Any]:
    tuned = contender.kind == "baseline"
    return {
        "name": contender.title,
        "kind": contender.kind,
        "tuning": contender.tuning,
        "configurations": contender.num_configurations,
        "tuning_runs": contender.num_configurations * num_seeds if tuned else 0,
        "chosen": "per task, on the reported runs" if tuned else "declared before",
    }


def _task(
    task: SuiteTask, contenders: Sequence[Contender], records: Mapping[tuple[str, str], Record]
) -> dict[str, Any]:
    found = {
        contender.title: records[task.title, contender.title]
        for contender in contenders
        if (task.title, contender.title) in records
    }
    grids = [record["adam_grid"] for record in found.values() if "adam_grid" in record]
    baselines = [found[c.title] for c in contenders if c.kind == "baseline" and c.title in found]
    return {
        "task": task.title,
        "family": task.family,
        "split": task.split,
        "axis": task.axis,
        "scale": task.scale,
        "num_steps": task.num_steps,
        "announced_num_steps": task.announced,
        "num_parameters": next((record["num_parameters"] for record in found.values()), None),
        "anchors": _anchors(baselines or list(found.values())),
        "steps": list(curve_steps(task.num_steps)),
        "results": {name: record["result"] for name, record in found.items()},
        "adam_grid": grids[0] if grids else None,
    }


def _anchors(baselines: Sequence[Record]) -> dict[str, float | None]:
    """The mean loss at the start, and the least final training loss of a baseline at its best."""
    initial = [record["initial"] for record in baselines if record["initial"] is not None]
    final = [record["result"]["final_train_loss"] for record in baselines]
    means = [float(np.mean(losses)) for losses in final if None not in losses]
    return {"initial": initial[0] if initial else None, "best": min(means, default=None)}


def _measures(trials: Trials) -> dict[str, Any]:
    """What the best setting came to, by seed."""
    best = jax.tree.map(lambda x: np.asarray(x)[trials.best], trials.runs)
    losses = {
        "final_train_loss": best.final_train_loss,
        "test_loss": best.test_loss,
        "trajectory_mean": np.mean(best.curves, axis=-1),
    }
    finite = np.all(np.isfinite(list(losses.values())), axis=0)
    return {name: _plain(x) for name, x in losses.items()} | {"diverged": int(np.sum(~finite))}


def _family(name: str) -> TaskFamily:
    return catalog.exact(catalog.build(name))


@functools.lru_cache(maxsize=16)
def _gradient_milliseconds(family: TaskFamily) -> float:
    return 1e3 * timings.measure_family(family)


def _plain(losses: Any) -> Any:
    """Losses as nested lists of the shortest numbers that float32 reads back; None: not finite."""
    losses = np.asarray(losses)
    if losses.ndim:
        return [_plain(row) for row in losses]
    return float(str(losses)) if np.isfinite(losses) else None


def _numbers(settings: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    return [{name: _plain(value) for name, value in each.items()} for each in settings]


def _rounded(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None
