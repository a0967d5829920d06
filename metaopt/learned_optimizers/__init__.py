"""Learned optimizers; one module each, one interface for all."""

from metaopt.learned_optimizers.base import LearnedOptimizer as LearnedOptimizer
from metaopt.learned_optimizers.base import MetaParams as MetaParams
from metaopt.learned_optimizers.celo import Celo as Celo
from metaopt.learned_optimizers.celo2 import Celo2 as Celo2
from metaopt.learned_optimizers.coordinatewise_lstm import (
    CoordinatewiseLSTM as CoordinatewiseLSTM,
)
from metaopt.learned_optimizers.factored_mlp import FactoredMLP as FactoredMLP
from metaopt.learned_optimizers.hand_designed import LearnableAdam as LearnableAdam
from metaopt.learned_optimizers.hand_designed import LearnableMomentum as LearnableMomentum
from metaopt.learned_optimizers.hand_designed import LearnableSGD as LearnableSGD
from metaopt.learned_optimizers.hierarchical import Hierarchical as Hierarchical
from metaopt.learned_optimizers.hierarchical_rnn import HierarchicalRNN as HierarchicalRNN
from metaopt.learned_optimizers.hyper_controller import HyperController as HyperController
from metaopt.learned_optimizers.per_parameter_mlp import PerParameterMLP as PerParameterMLP
from metaopt.learned_optimizers.per_parameter_mlp_2019 import (
    PerParameterMLP2019 as PerParameterMLP2019,
)
from metaopt.learned_optimizers.star import STAR as STAR
from metaopt.learned_optimizers.velo import VeLO as VeLO

# What a configuration file, a checkpoint and an export can name.
KINDS: dict[str, type[LearnedOptimizer]] = {
    kind.__name__: kind
    for kind in (
        Celo,
        Celo2,
        CoordinatewiseLSTM,
        FactoredMLP,
        Hierarchical,
        HierarchicalRNN,
        HyperController,
        LearnableAdam,
        LearnableMomentum,
        LearnableSGD,
        PerParameterMLP,
        PerParameterMLP2019,
        STAR,
        VeLO,
    )
}
