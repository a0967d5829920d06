"""A tiny MLP around a step that is known to be good: stable where the MLP alone is not.

STAR, Harrison et al. 2022, "A closer look at learned optimization: stability, robustness, and
inductive biases" (https://arxiv.org/abs/2209.11208). On a quadratic with Hessian H, a step of
(a I + P) times the gradient, with a learned P, shrinks every error where the spectral radius of
I - (a I + P) H is below 1, for which a nominal term a that is large beside P is enough. So the
parameter w moves by

    -a exp(0.001 n) (mean over 3 decays of m r) - 0.001 d exp(0.001 e) r - c exp(0.001 s) w,

with momentum m and r = (v + 1e-6)^-1/2 of the second moment v: a nominal step of Adam with
aggregated momenta, what the MLP adds, in the same units, and weight decay. The MLP is that of
`FactoredMLP`; d, e, n and s are its outputs, and n and s are means over the tensor.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metaopt.learned_optimizers.base import (
    LearnedOptimizer,
    MetaParams,
    map_tensors,
    transformation,
)
