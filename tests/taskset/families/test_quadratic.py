"""Quadratics against their closed form."""

import jax
import numpy as np
import pytest

from taskset.base import NoData
from taskset.errors import InputError
from taskset.families.quadratic import QuadraticFamily


def test_gradient_and_hessian_have_the_closed_form():
    key = jax.random.key(0)
    task = QuadraticFamily(dim=5, condition=50.0).sample(NoData(), key)
    params = task.init(jax.random.key(1))
    grads = jax.grad(task.loss)(params, None, key)
    np.testing.assert_allclose(grads, task.curvature * (params - task.minimum), rtol=1e-6)
    hessian = jax.hessian(task.loss)(params, None, key)
    np.testing.assert_allclose(hessian, np.diag(task.curvature), rtol=1e-6)
    assert task.loss(task.minimum, None, key) == 0


def test_curvatures_are_log_uniform_up_to_the_condition():
    curvature = np.asarray(QuadraticFamily(4096, 1e4).sample(NoData(), jax.random.key(0)).curvature)
    share = -np.log(curvature) / np.log(1e4)  # uniform in [0, 1]
    assert -1e-6 <= share.min() <= share.max() <= 1 + 1e-6
    assert abs(share.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 4096)
    assert abs(share.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / 4096)


@pytest.mark.parametrize("fields", [{"dim": 0}, {"condition": 0.5}, {"condition": float("nan")}])
def test_values_out_of_range_are_refused(fields):
    with pytest.raises(InputError, match="it must be"):
        QuadraticFamily(**fields)
