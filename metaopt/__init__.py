"""Learned optimizers and how to meta-train them. Imports `taskset`, never `workers` or Ray.

The path of one outer step, one module each:

    taskset.TaskFamily.sample          a task is drawn
    metaopt.inner_problem              a learned optimizer trains on it: an unroll
    metaopt.estimators                 the unroll becomes an Estimate of the outer gradient
    metaopt.aggregate                  the Estimates of many workers become one
    metaopt.learner                    the meta-parameters move; the loop around it
    metaopt.checkpoint                 the state is kept, to go on
    metaopt.exports                    the result is handed out, as an optax optimizer
    metaopt.torch, keras, hub          ... as one of PyTorch or Keras, or to the Hugging Face Hub

What these are made of: `learned_optimizers` (one architecture a module), `horizons` (how long an
inner run is), `teacher` (who has a share in its steps), `normalize` (what makes losses of tasks
comparable), `outer_optimizer`. What judges the result: `held_out` runs, `baselines`, `evaluate`,
`comparison`, `report`, `curves`; over suites, `protocols` with the intervals of `bootstrap`, and
`evaluation_report`, which like `run_comparison` is made of `pages`.

The other inner problem is `hyperparameter_training`: a run as a function of `hyperparameters`, each
in one of the `domains`, under one of the `dynamics`; for its estimators, `reversible` training and
`linear_solvers`. `self_tuning` networks are inner problems of the same kind.

    import metaopt
    optimizer = metaopt.load("path/to/export", num_steps=200)   # an optax transformation
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metaopt.exports import export as export
    from metaopt.exports import load as load

# Imported when first used: `import metaopt` must not cost an import of JAX, which has to wait until
# Ray has started.
_MODULE_OF = {"export": "metaopt.exports", "load": "metaopt.exports"}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'metaopt' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(_MODULE_OF)
