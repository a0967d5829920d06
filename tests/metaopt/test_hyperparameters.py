import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt import hyperparameters
from metaopt.domains import Between, Box, Positive
from metaopt.hyperparameters import Hyperparameter
from taskset.errors import InputError

TUNED = {
    "rate": Hyperparameter(0.1, Positive(), (3,)),
    "dropout": Hyperparameter((0.05, 0.2), Between(0.0, 0.9), (4, 2)),
    "momentum": Hyperparameter(0.9, Box(0.0, 0.9999)),
    "image": Hyperparameter(0.0, shape=(50, 40), spread=0.01),
}
KEY = jax.random.key(0)


def test_values_at_the_start_are_those_asked_for():
    meta_params = hyperparameters.start(TUNED, KEY)
    values = hyperparameters.values(TUNED, meta_params)
    np.testing.assert_allclose(values["rate"], [0.1] * 3, rtol=1e-6)
    np.testing.assert_allclose(values["dropout"], [[0.05, 0.2]] * 4, rtol=1e-6)
    assert values["momentum"].shape == () and values["momentum"].dtype == jnp.float32
    assert abs(float(values["image"].std()) - 0.01) < 4 * 0.01 / np.sqrt(2 * 2000)


def test_projection_moves_only_what_left_its_domain():
    meta_params = hyperparameters.start(TUNED, KEY)
    moved = {**meta_params, "momentum": jnp.float32(1.3)}
    projected = hyperparameters.project(TUNED, moved)
    assert float(projected["momentum"]) == pytest.approx(0.9999)
    for name in ("rate", "dropout", "image"):
        np.testing.assert_array_equal(projected[name], meta_params[name])


def test_a_start_outside_of_the_domain_is_refused():
    with pytest.raises(InputError, match=r"start 0.0 is not in Positive\(\)"):
        Hyperparameter(0.0, Positive())


def test_a_start_of_another_length_is_refused():
    with pytest.raises(InputError, match=r"start has 2 numbers and shape is \(3,\); give one"):
        Hyperparameter((1.0, 2.0), shape=(3,))


@pytest.mark.parametrize("empty", [{}, {"none": Hyperparameter(0.0, shape=(0,))}])
def test_nothing_to_tune_is_refused(empty):
    with pytest.raises(InputError, match="no hyper-parameters to tune"):
        hyperparameters.start(empty, KEY)
