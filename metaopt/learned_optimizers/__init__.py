"""Learned optimizers; one module each, one interface for all."""

from metaopt.learned_optimizers.base import LearnedOptimizer as LearnedOptimizer
from metaopt.learned_optimizers.base import MetaParams as MetaParams
from metaopt.learned_optimizers.factored_mlp import FactoredMLP as FactoredMLP
from metaopt.learned_optimizers.per_parameter_mlp import PerParameterMLP as PerParameterMLP

# What a configuration file, a checkpoint and an export can name.
KINDS: dict[str, type[LearnedOptimizer]] = {
    kind.__name__: kind for kind in (FactoredMLP, PerParameterMLP)
}
