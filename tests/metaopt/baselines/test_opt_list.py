"""The ordered list of NAdamW configurations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.baselines import opt_list, optimizers, search_spaces
from taskset.errors import InputError

PARAMS = {"weight": jnp.linspace(-1, 1, 6).reshape(2, 3)}


def test_is_a_permutation_of_the_released_seeds():
    assert sorted(opt_list.seeds()) == list(range(1000))
    assert opt_list.seeds()[:5] == (251, 611, 799, 209, 739)
    assert opt_list.seeds()[-3:] == (438, 918, 283)


def test_the_first_configuration():
    first = opt_list.hyperparameters_for_idx(0)
    assert first == search_spaces.hyperparameters("nadamw_grid_seed251")
    expected = {
        "learning_rate": 1.1948e-3,
        "beta1": 0.93600,
        "beta2": 0.998950,
        "epsilon": 5.876e-6,
        "use_nesterov": False,
        "adamw_weight_decay": 1.0142e-2,
        "l2_weight_decay": 0.0,
        "warmup_fraction": 0.0,
        "min_learning_rate_mult": 0.0,
        "constant_fraction": 0.7473,
    }
    assert list(first) == list(expected)
    np.testing.assert_allclose([*first.values()], [*expected.values()], rtol=1e-4)


@pytest.mark.parametrize(
    ("length", "counts"), [(10, (4, 3, 0)), (100, (47, 51, 31)), (1000, (502, 516, 641))]
)
def test_how_many_have_nesterov_warmup_and_l2(length, counts):
    first = [opt_list.hyperparameters_for_idx(idx) for idx in range(length)]
    keys = ("use_nesterov", "warmup_fraction", "l2_weight_decay")
    assert tuple(sum(values[key] > 0 for values in first) for key in keys) == counts


@pytest.mark.parametrize("fidelity", ["intended", "released"])
def test_the_optimizer_is_that_of_the_name(fidelity):
    idx = next(i for i in range(1000) if opt_list.hyperparameters_for_idx(i)["use_nesterov"])
    name = opt_list.name_for_idx(idx)
    assert name == f"nadamw_grid_seed{opt_list.seeds()[idx]}"
    found = opt_list.optimizer_for_idx(idx, 10, fidelity)
    expected = optimizers.optimizer(name, 10, fidelity)
    gradients = jax.tree.map(jnp.sin, PARAMS)
    some, exact = (
        optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)[0]["weight"]
        for optimizer in (found, expected)
    )
    np.testing.assert_array_equal(some, exact)


@pytest.mark.parametrize("idx", [-1, 1000])
def test_a_place_beyond_the_list_is_refused(idx):
    with pytest.raises(InputError, match=f"idx is {idx}; the list has places 0 to 999"):
        opt_list.optimizer_for_idx(idx, 100)
