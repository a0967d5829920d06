"""The update rules behind TaskSet's search spaces (https://arxiv.org/abs/2002.11887), but NAdamW.

A rule takes its hyper-parameters as arrays, [] float32, and no Python depends on their values:
`vmap` over configurations is one program. What a rule calls epsilon is its own affair: `adam` adds
it to the uncorrected root of the second moment, `decayed_adam` to the corrected one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from metaopt.learned_optimizers.base import map_tensors, transformation, zeros_like_params

Scalars: TypeAlias = Mapping[str, jax.Array]  # [] each
TensorRule: TypeAlias = Callable[..., tuple[jax.Array, ...]]

REFERENCE_STEPS = 10_000  # of the trainings whose steps the decay rates of `decayed_adam` count
ROOT_EPSILON = 1e-10  # under the root of `decayed_adam`
MOMENTS = (0.0, 0.0)  # what the moving averages of the gradient and of its square start from
DEFAULT_ADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}


class RuleState(NamedTuple):
    """The state of an update rule."""

    step: jax.Array  # [] int32, updates done
    accumulators: tuple[Any, ...]  # trees of the structure of the parameters


def as_optax(
    scalars_at: Callable[[jax.Array], Scalars],
    rule: TensorRule,
    initial: Sequence[float | jax.Array] = (),
) -> optax.GradientTransformationExtraArgs:
    """The transformation that applies a rule to every tensor.

    `rule(scalars_at(step), gradient, param, *accumulators)`, all of one dtype, returns the update
    of the tensor and its next accumulators; step is [] int32, from 0. `initial` are the values that
    the accumulators start from. `update` raises `ValueError` without `params`.
    """

    def init(params: Any) -> RuleState:
        accumulators = zeros_like_params(params)
        filled = lambda value: jax.tree.map(lambda x: jnp.full_like(x, value), accumulators)
        return RuleState(jnp.zeros((), jnp.int32), tuple(filled(value) for value in initial))

    def update(gradients: Any, state: RuleState, params: Any, **extra_args: Any):
        del extra_args
        scalars = scalars_at(state.step)

        def tensor(gradient: jax.Array, param: jax.Array, *accumulators: jax.Array):
            of_dtype = {name: x.astype(gradient.dtype) for name, x in scalars.items()}
            return rule(of_dtype, gradient, param, *accumulators)

        updates, accumulators = map_tensors(tensor, gradients, params, state.accumulators)
        step = jnp.asarray(optax.safe_increment(state.step))
        return updates, RuleState(step, tuple(accumulators))

    return transformation(init, update)


def adam(hyperparameters: Scalars) -> optax.GradientTransformationExtraArgs:
    """Adam (https://arxiv.org/abs/1412.6980) in the form of TensorFlow 1.

    Takes learning_rate, beta1, beta2 and epsilon; those of the last three that are missing are .9,
    .999 and 1e-8. Epsilon is the "epsilon hat" of the paper's section 2: the bias of the moments is
    corrected in the rate, so epsilon is compared with the uncorrected root.
    """
    defaults = {name: jnp.float32(value) for name, value in DEFAULT_ADAM.items()}
    complete = {**defaults, **hyperparameters}

    def scalars_at(step: jax.Array) -> Scalars:
        rate = complete["learning_rate"] * rate_correction(complete, step)
        return {**complete, "learning_rate": rate}

    return as_optax(scalars_at, _adam_rule, MOMENTS)


def decayed_adam(hyperparameters: Scalars, num_steps: int) -> optax.GradientTransformationExtraArgs:
    """Adam with penalties and a decaying rate: TaskSet's Adam6p and, with l1 and l2, Adam8p.

    Takes learning_rate, beta1, beta2, epsilon, linear_decay, exponential_decay, and l1 and l2 where
    the loss has the penalty l1 sum |p| + l2 sum p^2 over all parameters. At step s, counted from 0
    in ten-thousandths of `num_steps`, the rate is
    learning_rate max(1 - linear_decay s, 0) exp(-exponential_decay s).
    """
    penalties = {name: jnp.float32(0) for name in ("l1", "l2")}
    complete = {**penalties, **hyperparameters}
    per_step = REFERENCE_STEPS / num_steps

    def scalars_at(step: jax.Array) -> Scalars:
        time = step.astype(jnp.float32) * per_step
        linear = jnp.maximum(1 - complete["linear_decay"] * time, 0)
        rate = complete["learning_rate"] * linear * jnp.exp(-complete["exponential_decay"] * time)
        return {
            **complete,
            "learning_rate": rate,
            "correction1": bias_correction(complete["beta1"], step),
            "correction2": bias_correction(complete["beta2"], step),
        }

    return as_optax(scalars_at, _decayed_adam_rule, MOMENTS)


def adagrad(hyperparameters: Scalars) -> optax.GradientTransformationExtraArgs:
    """Adagrad (https://jmlr.org/papers/v12/duchi11a.html) in the form of TensorFlow 1: no epsilon.

    Takes learning_rate and initial_accumulator_value, where the sum of squares starts.
    """
    initial = (hyperparameters["initial_accumulator_value"],)
    return as_optax(lambda step: hyperparameters, _adagrad_rule, initial)


def zero() -> optax.GradientTransformationExtraArgs:
    """Sets every parameter to 0: the loss of a model that predicts nothing."""
    return as_optax(lambda step: {}, lambda scalars, gradient, param: (-param,))


def bias_correction(beta: jax.Array, step: jax.Array) -> jax.Array:
    """1 - beta ** (step + 1), to full precision where beta is near 1. `step` counts from 0."""
    return -jnp.expm1((step + 1).astype(jnp.float32) * jnp.log(beta))


def rate_correction(hyperparameters: Scalars, step: jax.Array) -> jax.Array:
    """What the rate is multiplied by in place of correcting the bias of both moments."""
    second = bias_correction(hyperparameters["beta2"], step)
    return jnp.sqrt(second) / bias_correction(hyperparameters["beta1"], step)


def next_moments(
    scalars: Scalars, gradient: jax.Array, first: jax.Array, second: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The moving averages of the gradient and of its square."""
    beta1, beta2 = scalars["beta1"], scalars["beta2"]
    first = beta1 * first + (1 - beta1) * gradient
    return first, beta2 * second + (1 - beta2) * jnp.square(gradient)


def _adam_rule(
    scalars: Scalars, gradient: jax.Array, param: jax.Array, first: jax.Array, second: jax.Array
) -> tuple[jax.Array, ...]:
    del param
    first, second = next_moments(scalars, gradient, first, second)
    update = -scalars["learning_rate"] * first / (jnp.sqrt(second) + scalars["epsilon"])
    return update, first, second


def _decayed_adam_rule(
    scalars: Scalars, gradient: jax.Array, param: jax.Array, first: jax.Array, second: jax.Array
) -> tuple[jax.Array, ...]:
    gradient = gradient + 2 * scalars["l2"] * param + scalars["l1"] * jnp.sign(param)
    first, second = next_moments(scalars, gradient, first, second)
    root = jnp.sqrt(second / scalars["correction2"] + ROOT_EPSILON)
    direction = first / scalars["correction1"] / (root + scalars["epsilon"])
    return -scalars["learning_rate"] * direction, first, second


def _adagrad_rule(
    scalars: Scalars, gradient: jax.Array, param: jax.Array, squares: jax.Array
) -> tuple[jax.Array, ...]:
    del param
    squares = squares + jnp.square(gradient)
    return -scalars["learning_rate"] * gradient / jnp.sqrt(squares), squares
