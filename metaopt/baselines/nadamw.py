"""NAdamW, the ten hyper-parameters of TaskSet's largest search space (arXiv:2002.11887).

Adam with Nesterov momentum, two kinds of weight decay, and a rate that warms up, stays, and decays.
"""

import jax
import jax.numpy as jnp
import optax

from metaopt.baselines.update_rules import (
    MOMENTS,
    Scalars,
    as_optax,
    next_moments,
    rate_correction,
)
from taskset.options import Fidelity

TINY = float(jnp.finfo(jnp.float32).tiny)


def nadamw(
    hyperparameters: Scalars, num_steps: int, fidelity: Fidelity = "intended"
) -> optax.GradientTransformationExtraArgs:
    """NAdamW for a training of `num_steps`.

    Takes beta1, beta2, epsilon, use_nesterov (1 or 0), adamw_weight_decay, l2_weight_decay, and
    what `learning_rate` takes. Where the released code is at odds with itself or with the field:

    - l2_weight_decay. The released code subtracts it times the parameter from the gradient, which
      drives parameters away from 0. Intended: added, as the gradient of a penalty is.
    - use_nesterov. The code that computed TaskSet's curves drops it, so "released" does too.
      Intended: honoured.
    - Warm-up. TaskSet ends it with the constant phase at the latest (min); some later ports extend
      every warm-up to the whole of that phase at least (max). Both modes here take the minimum: it
      made the curves, and it departs from the fraction only where the rate would jump otherwise.
    - adamw_weight_decay is multiplied by the corrected rate rather than by the scheduled one, and
      epsilon is Adam's epsilon hat. Kept in both modes: the configurations were drawn for them.
    """
    l2_sign = -1.0 if fidelity == "released" else 1.0
    honoured = 0.0 if fidelity == "released" else 1.0
    signed = {
        **hyperparameters,
        "l2_weight_decay": l2_sign * hyperparameters["l2_weight_decay"],
        "use_nesterov": honoured * hyperparameters["use_nesterov"],
    }

    def scalars_at(step: jax.Array) -> Scalars:
        rate = learning_rate(signed, step, num_steps) * rate_correction(signed, step)
        return {**signed, "learning_rate": rate}

    return as_optax(scalars_at, _rule, MOMENTS)


def learning_rate(hyperparameters: Scalars, step: jax.Array, num_steps: int) -> jax.Array:
    """The rate at a step, [] float32; `step` is [] int32, from 0.

    Takes learning_rate, the peak; warmup_fraction of the training, in which the rate rises linearly
    from 0, so that the first update is none; constant_fraction, up to which it stays at the peak;
    and min_learning_rate_mult times the peak, which a half cosine ends at and the rate then keeps.
    """
    length = jnp.float32(num_steps)
    time = jnp.minimum(step.astype(jnp.float32), length)
    peak = hyperparameters["learning_rate"]
    lowest = peak * hyperparameters["min_learning_rate_mult"]
    constant = length * hyperparameters["constant_fraction"]
    decayed = (jnp.maximum(time, constant) - constant) / jnp.maximum(length - constant, TINY)
    # The square is 1/2 + 1/2 cos(pi x), without the cancellation near the end.
    after = lowest + (peak - lowest) * jnp.square(jnp.cos(jnp.pi / 2 * decayed))
    warmup = jnp.minimum(length * hyperparameters["warmup_fraction"], constant)
    return jnp.where(time < warmup, peak * time / jnp.maximum(warmup, TINY), after)


def _rule(
    scalars: Scalars, gradient: jax.Array, param: jax.Array, first: jax.Array, second: jax.Array
) -> tuple[jax.Array, ...]:
    gradient = gradient + scalars["l2_weight_decay"] * param
    first, second = next_moments(scalars, gradient, first, second)
    beta1 = scalars["beta1"]
    ahead = beta1 * first + (1 - beta1) * gradient
    momentum = jnp.where(scalars["use_nesterov"] > 0, ahead, first)
    direction = momentum / (jnp.sqrt(second) + scalars["epsilon"])
    return (
        -scalars["learning_rate"] * (direction + scalars["adamw_weight_decay"] * param),
        first,
        second,
    )
