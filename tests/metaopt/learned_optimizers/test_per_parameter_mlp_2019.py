"""PerParameterMLP2019 against numpy."""

import against_numpy
import jax
import numpy as np
import pytest
from against_numpy import mlp, scaled_columns

from metaopt.learned_optimizers import PerParameterMLP2019

TIME_SCALES = np.array([3, 10, 30, 100, 300, 1000, 3000, 10000, 300000], np.float64)
DECAYS = (0.5, 0.9, 0.99, 0.999, 0.9999)


def reference(second_moments):
    def run(meta_params, params, gradients):
        return {
            name: one_tensor(meta_params, param, [g[name] for g in gradients])
            for name, param in params.items()
        }

    def one_tensor(meta_params, param, gradients):
        momenta, squares = [np.zeros_like(param)] * 5, [np.zeros_like(param)] * 5
        for step, g in enumerate(gradients):
            momenta = [d * m + (1 - d) * g for d, m in zip(DECAYS, momenta)]
            squares = [d * v + (1 - d) * g**2 for d, v in zip(DECAYS, squares)]
            scaled = [m / np.sqrt(v + 1e-6) for m, v in zip(momenta, squares)]
            features = [g, *(scaled if second_moments else []), *momenta, param]
            x = scaled_columns(features)
            x = np.concatenate([x, np.tile(np.tanh(step / TIME_SCALES - 1), (len(x), 1))], axis=1)
            d, m = mlp(meta_params, x).T
            param = param - (1e-3 * d * np.exp(1e-3 * m)).reshape(param.shape)
        return param

    return run


@pytest.mark.parametrize(("second_moments", "num_meta_params"), [(False, 610), (True, 770)])
def test_matches_an_independent_computation(second_moments, num_meta_params):
    optimizer = PerParameterMLP2019(second_moments=second_moments)
    meta_params = optimizer.init(jax.random.key(0))
    assert sum(x.size for x in jax.tree.leaves(meta_params)) == num_meta_params
    against_numpy.check(optimizer, reference(second_moments))
