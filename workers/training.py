"""The run itself: the learner's loop with records, validation and checkpoints around it."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from metaopt import checkpoint, telemetry
from metaopt.baselines.loss_scale import loss_scale
from metaopt.chaos_guard import Watched
from metaopt.learned_optimizers.base import MetaParams
from metaopt.learner import OuterState, OuterStep, meta_train
from metaopt.normalize import LossScale
from taskset import catalog
from taskset.errors import InputError
from workers import run_folder, validation
from workers.assignment import BASELINES
from workers.base_config import BaseConfig
from workers.config import RunConfig
from workers.interrupts import Interrupts
from workers.pool import Pool
from workers.run_folder import RunFolder
from workers.validation import Best
from workers.worker import NUM_DONE, Snapshot, WorkerSpec

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 1.0  # at how many workers are wanted, which is in a file

META_PARAMS_STREAM = 0x6D657461  # apart from the keys of the workers, which come from the same seed


class Training:
    """A run in progress: what has to happen after each outer step."""

    def __init__(
        self,
        config: BaseConfig,
        folder: RunFolder,
        pool: Pool,
        sinks: Sequence[telemetry.Sink],
        best: Best | None = None,
        upload: Callable[[], None] | None = None,
    ):
        """`upload` is called when a checkpoint has been written, to copy the folder elsewhere."""
        self._config, self._folder, self._pool, self._sinks = config, folder, pool, sinks
        self._best, self._upload = best, upload
        self._guard, self._watched = config.chaos_guard(), Watched()
        self._last_time = 0.0
        self._num_workers = config.workers.number
        self._next_look = 0.0
        self._unsaved: OSError | None = None  # why the last checkpoint could not be written
        self.why_stopped = ""  # before the last outer step, in one line

    def run(self, state: OuterState) -> Interrupts:
        """Trains from `state` to the end, or to a signal; either way the last state is saved.

        A checkpoint that cannot be written is tried again after the next outer step. Raises
        `InputError` when that of the last state could not be written.
        """
        with Interrupts() as interrupts:
            self._last_time = time.monotonic()
            meta_train(
                self._config.learner,
                state,
                self._pool,
                max_staleness=self._config.workers.max_staleness,
                staleness_decay=self._config.workers.staleness_decay,
                project=self._config.project,
                on_step=lambda done: self._after(done, interrupts),
            )
        if self._unsaved:
            raise InputError(
                f"the last checkpoint could not be written to {self._folder.checkpoints}: "
                f"{_reason(self._unsaved)}; make room there and go on from the one before"
            ) from self._unsaved
        return interrupts

    def _after(self, done: OuterStep, interrupts: Interrupts) -> bool:
        step, previous = done.state.step, self._best
        last = step == self._config.learner.num_steps
        stop = interrupts.received is not None
        why = f"stopped by {interrupts.received.name}" if interrupts.received else ""
        record = self._record(done)
        for told in record["explanations"]:
            of = step, told["worker"], told["task"]
            logger.warning("outer step %d, worker %d on %s: %s", *of, told["explanation"])
        if self._guard.action != "off":
            alarm, record["guard"] = self._watch(done)
            if alarm and self._guard.action == "stop":
                stop, why = True, why or alarm
        if not stop and isinstance(self._config, RunConfig):
            record |= self._validation(self._config, done.state, last)
        for sink in self._sinks:
            sink.write(record)
        new_best = self._best != previous
        due = _is_due(step, self._config.checkpoint.every, last)
        if stop or new_best or due or self._unsaved:
            self._save(done.state)
        self._resize()
        self._last_time = time.monotonic()  # the next outer step begins here
        self.why_stopped = "" if last else why
        return stop

    def _resize(self) -> None:
        """Goes on with as many workers as `metaopt runs scale` asked for."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + SECONDS_BETWEEN_LOOKS
        wanted = run_folder.wanted_workers(self._folder)
        if wanted is not None and wanted != self._num_workers:
            logger.warning("goes on with %d workers", wanted)
            self._pool.resize(wanted)
            self._num_workers = wanted

    def _watch(self, done: OuterStep) -> tuple[str, dict[str, Any]]:
        """What the guard says of the gradient of the step, and its record."""
        estimate = done.aggregate.estimate
        assert estimate is not None  # or there would have been no outer step
        self._watched, reading = self._guard.watch(self._watched, estimate.gradient)
        if reading.alarm:
            logger.warning("outer step %d: %s", done.state.step, reading.alarm)
        return reading.alarm, reading.record()

    def _validation(self, config: RunConfig, state: OuterState, last: bool) -> dict[str, Any]:
        """What validation says, where it is due; the best is remembered."""
        if not _is_due(state.step, config.validation.every, last):
            return {}
        score = validation.validate(config, state)
        self._best = validation.better(self._best, score, state.step)
        return {"validation": validation.record(score, self._best)}

    def _record(self, done: OuterStep) -> dict[str, Any]:
        return telemetry.step_record(
            done,
            seconds=time.monotonic() - self._last_time,
            inner_steps=self._config.estimator.inner_steps * len(done.aggregate.used),
            workers=self._pool.states,
        )

    def _save(self, state: OuterState) -> None:
        snapshots = {str(index): dict(s) for index, s in enumerate(self._pool.snapshot())}
        parts = {**_learner_parts(state), "workers": snapshots}
        best = self._best
        try:
            for sink in self._sinks:
                sink.sync()
            checkpoint.save(
                self._folder.checkpoints,
                state.step,
                parts,
                {"best": best._asdict() if best else None},
            )
            keep = self._config.checkpoint.keep
            checkpoint.prune(self._folder.checkpoints, keep, best.step if best else None)
            if self._upload:
                self._upload()
        except OSError as error:
            logger.warning("outer step %d: no checkpoint: %s", state.step, _reason(error))
            self._unsaved = error
            return
        self._unsaved = None


def worker_specs(config: BaseConfig) -> list[WorkerSpec]:
    """The workers of a run."""
    estimators, workers = config.estimators(), config.workers
    return [
        WorkerSpec(
            index,
            task,
            estimators[task],
            config.seed,
            config.stream(),
            workers.devices,
            wire=workers.wire,
            num_gpus=workers.gpus if index < workers.gpu_workers else 0.0,
        )
        for index, task in enumerate(config.assignment)
    ]


def first_state(config: BaseConfig) -> OuterState:
    """The state before the first outer step. Measures baselines that losses are normalised by."""
    scales: dict[str, LossScale] = {}
    if config.needs_loss_scales and not config.stream():
        _, num_steps = config.horizon.bounds()
        for task, family in config.families().items():
            scales[task] = loss_scale(catalog.exact(family), num_steps, BASELINES)
    meta_params = _first_meta_params(config)
    config.check(meta_params)
    return config.learner.init(meta_params, scales)


def restore(config: BaseConfig, path: Path, pool: Pool) -> tuple[OuterState, Best | None]:
    """The state of the checkpoint at `path`, and the best so far; the workers get theirs.

    Raises `InputError` when the checkpoint is damaged or does not fit the configuration.
    """
    scaled = config.tasks if config.needs_loss_scales else ()
    like = config.learner.init(_first_meta_params(config), {task: LossScale() for task in scaled})
    parts = checkpoint.load(path, _learner_parts(like))
    manifest = checkpoint.read_manifest(path)
    pool.restore(_snapshots(path, worker_specs(config), manifest.step), like.meta_params)
    best = manifest.info["best"]
    return OuterState(manifest.step, **parts), Best(**best) if best else None


def _first_meta_params(config: BaseConfig) -> MetaParams:
    key = jax.random.fold_in(jax.random.key(config.seed), META_PARAMS_STREAM)
    return config.first_meta_params(key)


def _learner_parts(state: OuterState) -> dict[str, Any]:
    """The learner's share of a checkpoint; the step is in its manifest."""
    return {
        "meta_params": state.meta_params,
        "opt_state": state.opt_state,
        "loss_scales": dict(state.loss_scales),
    }


def _snapshots(path: Path, specs: Sequence[WorkerSpec], step: int) -> list[Snapshot]:
    """The states of the workers; one that was lost when they were saved, or is new, has only begun.

    Those of workers that the run goes on without are left out.
    """
    snapshots: dict[str, dict[str, np.ndarray]] = {str(spec.index): {} for spec in specs}
    for key, array in checkpoint.load_arrays(path, "workers").items():
        index, _, name = key.partition("/")
        if index in snapshots:
            snapshots[index][name] = array
    return [
        snapshots[str(spec.index)] or {NUM_DONE: np.array(spec.first_after(step), np.int64)}
        for spec in specs
    ]


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _is_due(step: int, every: int, last: bool) -> bool:
    return every > 0 and (last or step % every == 0)
