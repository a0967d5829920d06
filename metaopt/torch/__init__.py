"""Exported optimizers for PyTorch: the same files as `metaopt.load`, with no need of JAX.

    from metaopt.torch import LearnedOptimizer
    optimizer = LearnedOptimizer(model.parameters(), "path/to/export", num_steps=1000)

    optimizer.py      `LearnedOptimizer`, a `torch.optim.Optimizer`
    reading.py        an export becomes an `Architecture` and its `Weights`
    architecture.py   what an architecture is: shapes of its weights, a state, an update

Each other module is that of the same name in `metaopt.learned_optimizers`, which says what is
computed and why. No number is fixed here: arguments and constants are those of `config.json`.
"""

from metaopt.torch.optimizer import LearnedOptimizer as LearnedOptimizer
