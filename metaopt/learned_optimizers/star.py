"""A tiny MLP beside a step that is known to be good: stable where the MLP alone is not.

STAR, Harrison et al. 2022, "A closer look at learned optimization: stability, robustness, and
inductive biases" (https://arxiv.org/abs/2209.11208). On a quadratic of Hessian H, steps of
a I + P times the gradient, with P learned, lessen every error where the spectral radius of
I - (a I + P) H is below 1: a nominal step a that is large beside P sees to it. A parameter w moves
by

    -a exp(0.001 n) (mean over 3 decays of m r) - 0.001 d exp(0.001 e) r - c exp(0.001 s) w,

with momentum m and r = (v + 1e-6)^-1/2 of the second moment v: nominal is the step of Adam with
aggregated momenta; what the MLP adds is in the same units; the rest is weight decay. The MLP is
that of `FactoredMLP`, and d, e, n and s are its outputs, n and s as means over the tensor.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from metaopt.learned_optimizers.factored_features import ROOT_EPSILON, Inputs
from metaopt.learned_optimizers.factored_mlp import FactoredNetwork


@dataclasses.dataclass(frozen=True)
class STAR(FactoredNetwork):
    """207 meta-parameters. Rate and weight decay that training starts from are our choice."""

    num_outputs: ClassVar[int] = 4

    nominal_learning_rate: float = 1e-3  # a
    weight_decay: float = 1e-5  # c, of each step: no learning rate multiplies it

    def step(self, outputs: list[jax.Array], inputs: Inputs) -> jax.Array:
        direction, magnitude, *of_tensor = outputs
        nominal, decay = (jnp.exp(self.exp_multiplier * jnp.mean(x)) for x in of_tensor)
        momentum, (second_moment,), *_ = inputs.statistics
        mean_momentum = sum(momentum[1:], start=momentum[0]) / len(momentum)
        learned = self.step_multiplier * direction * jnp.exp(self.exp_multiplier * magnitude)
        towards = self.nominal_learning_rate * nominal * mean_momentum + learned
        preconditioned = towards * jax.lax.rsqrt(second_moment + ROOT_EPSILON)
        return preconditioned + self.weight_decay * decay * inputs.param
