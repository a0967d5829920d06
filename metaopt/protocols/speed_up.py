"""How many steps Adam needs for the same loss, if its learning rate is the best for every step.

The envelope is the least loss that any learning rate has reached by a step: seed mean of the
curves, exponential average, lower envelope over rates, running minimum. A loss is mapped to the
steps that the envelope takes to it, which over the steps that were taken is the speed-up. From the
normalizers that come with learned_optimization; it is what VeLO reports (arXiv:2211.09760), and the
speed-up of Celo (arXiv:2501.12670).

What it cannot say: a loss that the envelope never reaches has no steps. Its speed-up is censored,
at the last step of the envelope over those taken, and counts as a lower bound: where Adam ran no
longer than the run itself, nothing is ever above 1. `at_common_loss` has no such ceiling. It asks
at the least loss that both reach: of a run that ends below the envelope, at its end. A loss above
the first of the envelope, or one that is not finite, has speed-up 0. The average smears the first
twenty steps or so.
"""

from typing import NamedTuple

import numpy as np

from taskset.errors import InputError

DECAY = 0.95
SPAN = 20  # steps that `recent` averages over
LEAST_SHARE = 1e-5  # of an average in float32, that is more than its rounding


class Envelope(NamedTuple):
    """The least loss of tuned Adam by each step."""

    steps: np.ndarray  # [num_points] float64, ascending
    losses: np.ndarray  # [num_points] float64, never ascending


class SpeedUps(NamedTuple):
    """Speed-ups over tuned Adam, of any shape."""

    values: np.ndarray  # float64, at least 0; 2 is twice as fast
    at_least: np.ndarray  # bool, where the envelope never came so low: the value is a lower bound

    @property
    def num_censored(self) -> int:
        """How many of the values are lower bounds."""
        return int(np.sum(self.at_least))


def smoothed(curves: np.ndarray, decay: float = DECAY) -> np.ndarray:
    """The exponential average of curves, [..., num_steps] float64, which begins at their first.

    From a loss that is not finite on, it is infinite.
    """
    curves = np.asarray(curves, np.float64)
    averages = np.where(np.isfinite(curves), curves, np.inf)
    for step in range(1, curves.shape[-1]):
        averages[..., step] = decay * averages[..., step - 1] + (1 - decay) * averages[..., step]
    return averages


def recent(averages: np.ndarray, steps: np.ndarray, decay: float = DECAY) -> np.ndarray:
    """What `smoothed` curves say of the last steps alone, [..., num_points] float64.

    `averages` are at `steps`, [num_points], ascending from 0. In them a first loss a million times
    the others shows for 300 steps. What an average had from an earlier point is taken out again,
    which leaves that of the losses since: since the last point that is at least `SPAN` steps back,
    or the first of all.
    """
    before = np.maximum(np.searchsorted(steps, steps - SPAN, side="right") - 1, 0)
    share = decay ** (steps - steps[before])
    finite = np.where(np.isfinite(averages), averages, 0.0)
    added = finite - share * finite[..., before]
    # Nothing is added at the first point, and next to nothing where rounding would be all of it.
    kept = (share == 1) | (np.abs(added) <= LEAST_SHARE * np.abs(finite))
    found = np.where(kept, finite, added / np.where(share == 1, 1.0, 1 - share))
    return np.where(np.isfinite(averages), found, np.inf)


def envelope(curves: np.ndarray, steps: np.ndarray) -> Envelope:
    """The envelope of `smoothed` curves of Adam, [num_rates, num_seeds, num_points].

    A rate at which one seed has diverged is out from that step on. Raises `InputError` when no rate
    begins with a finite loss.
    """
    curves = np.where(np.isfinite(curves), curves, np.inf)
    losses = np.minimum.accumulate(np.min(np.mean(curves, axis=1), axis=0))
    if not np.isfinite(losses[0]):
        raise InputError("no learning rate of Adam begins with a finite loss: there is no envelope")
    return Envelope(np.asarray(steps, np.float64), losses)


def steps_of_adam(losses: np.ndarray, envelope: Envelope) -> np.ndarray:
    """The steps after which the envelope first has `losses`, of any shape, interpolated.

    The last step for losses that it never reaches; 0 for those above its first, and for those that
    are not finite.
    """
    losses = np.where(np.isfinite(losses), losses, np.inf)
    first = envelope.losses[0]
    steps = np.interp(losses, envelope.losses[::-1], envelope.steps[::-1])
    return np.where(losses > first, 0.0, steps)


def speed_ups(losses: np.ndarray, at_step: float, envelope: Envelope) -> SpeedUps:
    """The speed-ups of runs that have `losses`, of any shape, after `at_step` steps.

    Raises `InputError` unless `at_step` is positive.
    """
    if not at_step > 0:
        raise InputError(f"speed-up after {at_step} steps; there must be at least one")
    at_least = np.isfinite(losses) & (losses < envelope.losses[-1])
    return SpeedUps(steps_of_adam(losses, envelope) / at_step, at_least)


def at_common_loss(curves: np.ndarray, steps: np.ndarray, envelope: Envelope) -> SpeedUps:
    """The speed-ups of runs at the last loss that both they and the envelope reach.

    `curves` are `smoothed`, [..., num_points] at `steps`, [num_points]. Of a run that ends below
    the envelope, marked as `at_least`, it is the step at which the envelope first had its last loss
    over the first at which the run had it; of others, what `speed_ups` says of their last loss.
    """
    at_end = speed_ups(curves[..., -1], float(steps[-1]), envelope)
    reached = np.asarray(curves, np.float64) <= envelope.losses[-1]
    first = np.maximum(steps[np.argmax(reached, axis=-1)], steps[1])  # no loss is had before a step
    ratio = steps_of_adam(envelope.losses[-1], envelope) / first
    return at_end._replace(values=np.where(at_end.at_least, ratio, at_end.values))
