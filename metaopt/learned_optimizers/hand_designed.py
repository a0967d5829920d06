"""Hand-designed optimizers whose hyper-parameters are the meta-parameters, in log space.

Learning rates are log eta, decays log(1 - beta), so that a step of a given size means the same
everywhere. A learning rate may differ between tensors, and change over training: it is piecewise
linear in log space between `num_knots` knots, spread evenly from the first step to the last. After
the last step it stays.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metaopt.learned_optimizers.base import (
    LearnedOptimizer,
    MetaParams,
    map_tensors,
    tensors,
    transformation,
    zeros_like_params,
)
from metaopt.learned_optimizers.features import root
from taskset.base import Key
from taskset.errors import InputError

MAX_RATES = 2**20
# (gradient, *accumulators) of a tensor to its step, without the learning rate, and the next ones.
Rule = Callable[..., Sequence[jax.Array]]


class HandDesignedState(NamedTuple):
    """Accumulators: for each a tree of the structure of the parameters."""

    step: jax.Array  # [] int32
    accumulators: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class HandDesigned(LearnedOptimizer):
    """What their learning rates have in common."""

    constants: ClassVar[Mapping[str, Any]] = {}
    uses: ClassVar[tuple[str, ...]] = ("num_steps",)

    learning_rate: float  # that meta-training starts from
    num_tensors: int = 1  # 1: one rate for all; else one for each, in the order of the tree
    num_knots: int = 1  # 1: a constant; more need `num_steps`

    @property
    def features(self) -> Mapping[str, Mapping[str, int]]:
        return {"parameter": {"gradient": 1}}

    def _log_rates(self) -> jax.Array:
        """Where meta-training starts, [num_tensors, num_knots] float32."""
        for name in ("num_tensors", "num_knots"):
            if getattr(self, name) < 1:
                raise InputError(f"optimizer.{name} is {getattr(self, name)}; it must be positive")
        if not self.learning_rate > 0:
            raise InputError(
                f"optimizer.learning_rate is {self.learning_rate}; it must be positive, "
                "for its logarithm is learned"
            )
        shape = (self.num_tensors, self.num_knots)
        if math.prod(shape) > MAX_RATES:
            raise InputError(
                f"optimizer has {math.prod(shape):,} learning rates, num_tensors x num_knots; "
                f"it may have {MAX_RATES:,}"
            )
        return jnp.full(shape, math.log(self.learning_rate), jnp.float32)


@dataclasses.dataclass(frozen=True)
class LearnableSGD(HandDesigned):
    """Gradient descent: `num_tensors` x `num_knots` meta-parameters, 1 by default."""

    learning_rate: float = 0.1

    def init(self, key: Key) -> MetaParams:
        del key
        return {"log_learning_rate": self._log_rates()}

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        rule = lambda step: lambda gradient: (gradient,)
        return _transformation(meta_params["log_learning_rate"], rule, 0, num_steps)


@dataclasses.dataclass(frozen=True)
class LearnableMomentum(HandDesigned):
    """Heavy-ball momentum, m = beta m + g: 2 meta-parameters by default."""

    learning_rate: float = 0.01
    momentum: float = 0.9

    def init(self, key: Key) -> MetaParams:
        del key
        return {
            "log_learning_rate": self._log_rates(),
            "log_one_minus_momentum": jnp.float32(math.log(1 - self.momentum)),
        }

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        decay = 1.0 - _forgotten(meta_params["log_one_minus_momentum"])

        def rule(step: jax.Array) -> Rule:
            del step

            def one_tensor(gradient: jax.Array, momentum: jax.Array) -> Sequence[jax.Array]:
                momentum = decay.astype(gradient.dtype) * momentum + gradient
                return momentum, momentum

            return one_tensor

        return _transformation(meta_params["log_learning_rate"], rule, 1, num_steps)


@dataclasses.dataclass(frozen=True)
class LearnableAdam(HandDesigned):
    """Adam (https://arxiv.org/abs/1412.6980), bias corrected: 4 meta-parameters by default."""

    learning_rate: float = 0.001
    b1: float = 0.9
    b2: float = 0.999
    epsilon: float = 1e-8

    def init(self, key: Key) -> MetaParams:
        del key
        return {
            "log_learning_rate": self._log_rates(),
            "log_one_minus_b1": jnp.float32(math.log(1 - self.b1)),
            "log_one_minus_b2": jnp.float32(math.log(1 - self.b2)),
            "log_epsilon": jnp.float32(math.log(self.epsilon)),
        }

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        forgotten = [_forgotten(meta_params[f"log_one_minus_{name}"]) for name in ("b1", "b2")]
        epsilon = jnp.exp(meta_params["log_epsilon"])

        def rule(step: jax.Array) -> Rule:
            def one_tensor(gradient: jax.Array, *moments: jax.Array) -> Sequence[jax.Array]:
                return adam_step(gradient, moments, forgotten, step, epsilon)

            return one_tensor

        return _transformation(meta_params["log_learning_rate"], rule, 2, num_steps)


def adam_step(
    gradient: jax.Array,
    moments: Sequence[jax.Array],
    forgotten: Sequence[jax.Array],
    step: jax.Array,
    epsilon: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A step of Adam without the learning rate, and its next two moments.

    `forgotten` are 1 - beta1 and 1 - beta2, which float32 holds better than beta; `step`, [] int32,
    is 0 at first.
    """
    count = step.astype(jnp.float32) + 1.0
    dtype = gradient.dtype
    first, second = (
        kept + share.astype(dtype) * (seen - kept)
        for kept, seen, share in zip(moments, (gradient, gradient**2), forgotten, strict=True)
    )
    known_first, known_second = (_known(share, count).astype(dtype) for share in forgotten)
    scale = root(second / known_second) + epsilon.astype(dtype)
    return first / known_first / scale, first, second


def _known(forgotten: jax.Array, count: jax.Array) -> jax.Array:
    """1 - decay^count, the share of an average that is not its start."""
    return -jnp.expm1(count * jnp.log1p(-forgotten))


def _forgotten(log_one_minus: jax.Array) -> jax.Array:
    return jnp.minimum(jnp.exp(log_one_minus), 1.0)


def _transformation(
    log_rates: jax.Array,
    rule: Callable[[jax.Array], Rule],
    num_accumulators: int,
    num_steps: int | None,
) -> optax.GradientTransformationExtraArgs:
    """Moves parameters by -rate * step; `rule(step index)` is that of a tensor."""
    if log_rates.shape[1] > 1 and num_steps is None:
        raise InputError(
            f"a learning rate with {log_rates.shape[1]} knots needs the length of training: "
            "give num_steps, or train with num_knots = 1"
        )

    def init(params: Any) -> HandDesignedState:
        accumulators = tuple(zeros_like_params(params) for _ in range(num_accumulators))
        return HandDesignedState(jnp.zeros((), jnp.int32), accumulators)

    def update(gradients: Any, state: HandDesignedState, params: Any, **extra_args: Any):
        del extra_args
        one_tensor = rule(state.step)

        def tensor(gradient: jax.Array, param: jax.Array, *old: jax.Array):
            *accumulators, rate = old
            step, *accumulators = one_tensor(gradient, *accumulators)
            return -rate.astype(param.dtype) * step, *accumulators

        rates = jnp.exp(_scheduled(log_rates, state.step, num_steps))
        rates = _for_each(rates, len(tensors(gradients)))
        updates, accumulators = map_tensors(tensor, gradients, params, state.accumulators, [rates])
        step = jnp.asarray(optax.safe_increment(state.step))
        return updates, HandDesignedState(step, tuple(accumulators))

    return transformation(init, update)


def _scheduled(knots: jax.Array, step: jax.Array, num_steps: int | None) -> jax.Array:
    """[tensors, knots] to the values at `step`, [tensors]."""
    num_knots = knots.shape[1]
    if num_knots == 1 or num_steps is None:
        return knots[:, 0]
    progress = jnp.clip(step.astype(jnp.float32) / max(1, num_steps - 1), 0.0, 1.0)
    distance = jnp.abs(progress * (num_knots - 1) - jnp.arange(num_knots, dtype=jnp.float32))
    return knots @ jnp.maximum(0.0, 1.0 - distance)


def _for_each(rates: jax.Array, num_tensors: int) -> jax.Array:
    """One rate for each of the tensors, [num_tensors]."""
    if len(rates) not in {1, num_tensors}:
        raise InputError(
            f"there are learning rates for {len(rates)} tensors, and the parameters have "
            f"{num_tensors}; they must be as many, or 1 for all"
        )
    return jnp.broadcast_to(rates, (num_tensors,))
