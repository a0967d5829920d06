"""Progressive teacher forcing: a hand-designed optimizer has a share in every step, ever less.

ELO (https://arxiv.org/abs/2607.06772): a learned optimizer that has learned nothing leads its inner
runs where nothing is to be learned. So an expert makes a step from the same gradient at each inner
step, and the parameters go to

    share * (where the expert goes) + (1 - share) * (where the learned optimizer goes).

The share is 1 up to one outer step, and falls linearly to 0 at a later one. The outer loss follows:
with the weights w_d and w_m, both times the share, it is

    w_d (1 - cosine of the two steps) + w_m (difference of the sizes of their coordinates)
    + (1 - w_d - w_m) (loss of the task).

The paper's code divides differences of antithetic losses by their root mean square over the pairs;
here the difference of sizes is over the size of the expert's step, so all three are of order 1.
"""

import dataclasses
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from taskset.errors import InputError

SMALLEST = 1e-30  # what norms are at least


class Forced(NamedTuple):
    """A step that the expert had its share in."""

    updates: Any  # of the structure of the parameters
    expert_state: Any
    direction: jax.Array  # [], 1 - cosine of the steps of expert and learned optimizer
    magnitude: jax.Array  # [], mean difference of the sizes of their coordinates, over the expert's


@dataclasses.dataclass(frozen=True)
class Teacher:
    """An expert, and when it lets go. Raises `InputError` for numbers out of range."""

    expert: Literal["none", "adamw", "momentum"] = "none"
    learning_rate: float = 0.001
    weight_decay: float = 0.0  # decoupled, of "adamw"
    decay: float = 0.9  # of "momentum"
    full_until: int = 1000  # outer step until which the share is 1
    gone_at: int = 4500  # outer step from which on it is 0
    direction_weight: float = 0.7  # in the outer loss, at full share
    magnitude_weight: float = 0.3  # likewise

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise InputError(
                f"teacher: learning_rate is {self.learning_rate}; it must be positive and finite"
            )
        if not 0 <= self.full_until < self.gone_at:
            raise InputError(
                f"teacher: full_until is {self.full_until} and gone_at {self.gone_at}; "
                "both are outer steps, the second after the first"
            )
        weights = (self.direction_weight, self.magnitude_weight)
        if not (min(weights) >= 0 and sum(weights) <= 1):
            raise InputError(
                f"teacher: direction_weight and magnitude_weight are {weights}; "
                "they must be at least 0, and at most 1 together"
            )

    @property
    def teaches(self) -> bool:
        """Whether there is an expert."""
        return self.expert != "none"

    def init(self, params: Any) -> Any:
        """The state of the expert."""
        return self._optimizer().init(params)

    def share(self, outer_step: Any) -> jax.Array:
        """The expert's part in a step at `outer_step`, [] int32: [] float32."""
        left = self.gone_at - jnp.asarray(outer_step, jnp.int32).astype(jnp.float32)
        return jnp.clip(left / float(self.gone_at - self.full_until), 0.0, 1.0)

    def force(self, gradients: Any, updates: Any, state: Any, params: Any, share: Any) -> Forced:
        """The step that is made in the place of `updates`, those of the learned optimizer."""
        expert, state = self._optimizer().update(gradients, state, params)
        blend = lambda theirs, ours: (share * theirs + (1 - share) * ours).astype(ours.dtype)
        dot, theirs, ours = (_dot(*pair) for pair in _pairs(expert, updates))
        norms = jnp.sqrt(jnp.maximum(theirs, SMALLEST)) * jnp.sqrt(jnp.maximum(ours, SMALLEST))
        size = _total(jax.tree.map(jnp.abs, expert))
        apart = _total(jax.tree.map(lambda e, u: jnp.abs(jnp.abs(e) - jnp.abs(u)), expert, updates))
        return Forced(
            updates=jax.tree.map(blend, expert, updates),
            expert_state=state,
            direction=1 - dot / norms,
            magnitude=apart / jnp.maximum(size, SMALLEST),
        )

    def loss(self, task_loss: jax.Array, forced: Forced, share: jax.Array) -> jax.Array:
        """The outer loss of a step, [] float32."""
        direction, magnitude = share * self.direction_weight, share * self.magnitude_weight
        imitation = direction * forced.direction + magnitude * forced.magnitude
        return imitation + (1 - direction - magnitude) * task_loss

    def _optimizer(self) -> optax.GradientTransformation:
        if self.expert == "momentum":
            return optax.sgd(self.learning_rate, momentum=self.decay)
        return optax.adamw(self.learning_rate, weight_decay=self.weight_decay)


def _pairs(expert: Any, updates: Any) -> tuple[tuple[Any, Any], ...]:
    return (expert, updates), (expert, expert), (updates, updates)


def _dot(one: Any, other: Any) -> jax.Array:
    return _total(jax.tree.map(jnp.multiply, one, other))


def _total(tree: Any) -> jax.Array:
    """The sum of all numbers of a tree, [] float32."""
    sums = [jnp.sum(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(tree)]
    return jnp.sum(jnp.stack(sums))
