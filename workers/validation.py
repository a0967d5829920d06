"""Choosing the best checkpoint: training held-out tasks with the meta-parameters of the moment."""

from typing import Any, NamedTuple

import numpy as np

from metaopt.evaluate import final_losses
from metaopt.learner import OuterState
from workers.config import RunConfig


class Best(NamedTuple):
    """The best validation so far."""

    step: int
    score: float


class Score(NamedTuple):
    """What validation says; the less the better, and inf when a run diverged."""

    # mean over tasks of the loss, in units of the loss scale where there is one; of a mixture, of
    # log(1 + loss), so that no task outweighs the others
    score: float
    losses: dict[str, float]  # mean final training loss by task


def validate(config: RunConfig, state: OuterState) -> Score:
    """Trains the held-out runs of every task, for as long as the longest inner run."""
    _, num_steps = config.horizon.bounds()
    seeds = range(config.validation.num_seeds)
    losses: dict[str, float] = {}
    scaled: list[float] = []
    for task, family in config.validation_families().items():
        finals = final_losses(family, config.optimizer, state.meta_params, num_steps, seeds)
        losses[task] = float(np.mean(np.where(np.isfinite(finals), finals, np.inf)))
        scaled.append(_scaled(losses[task], state, task, bounded=config.mixture is not None))
    return Score(float(np.mean(scaled)), losses)


def better(best: Best | None, score: Score, step: int) -> Best | None:
    """The best after `score` at `step`."""
    if not np.isfinite(score.score) or (best and best.score <= score.score):
        return best
    return Best(step, score.score)


def record(score: Score, best: Best | None) -> dict[str, Any]:
    """What telemetry is told."""
    return {
        "score": score.score,
        "best": best.score if best else float("inf"),
        "best_step": best.step if best else 0,
        "losses": score.losses,
    }


def _scaled(loss: float, state: OuterState, task: str, *, bounded: bool) -> float:
    if task not in state.loss_scales:
        return float(np.sign(loss) * np.log1p(np.abs(loss))) if bounded else loss
    initial, best = map(float, state.loss_scales[task])
    return (loss - best) / (initial - best)
