"""The reference trajectory: what it is, and that it tells optimizers apart."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaopt import golden
from metaopt.exports import trajectory

RATE = 0.25


def scaled(factors) -> optax.GradientTransformationExtraArgs:
    """Gradient descent with a rate for each tensor."""

    def update(gradients, state, params=None, **extra_args):
        assert "value" in extra_args
        return jax.tree.map(lambda g, f: -f * g, gradients, factors), state

    return optax.GradientTransformationExtraArgs(lambda params: (), update)


def same_rate(rate: float, **others: float):
    return scaled(dict.fromkeys(golden.SHAPES, rate) | others)


def recorded(rate: float) -> dict[str, np.ndarray]:
    arrays = golden.inputs()
    after = trajectory(same_rate(rate), arrays)
    return arrays | {f"after/{name}": array for name, array in after.items()}


def deviation(optimizer, reference) -> float:
    return golden.deviation(trajectory(optimizer, reference), reference)


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    return recorded(RATE)


def test_inputs_are_float32_and_the_same_every_time():
    first, second = golden.inputs(), golden.inputs()
    assert set(first) == {f"{a}/{b}" for a in ("param", "noise") for b in golden.SHAPES}
    for name, array in first.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, second[name])


def test_the_trajectory_is_the_recurrence(reference):
    for name, shape in golden.SHAPES.items():
        param = reference[f"param/{name}"].astype(np.float64)
        assert reference[f"after/{name}"].shape == (golden.NUM_STEPS, *shape)
        for step in range(golden.NUM_STEPS):
            param = param - RATE * (reference[f"noise/{name}"][step] + 0.1 * param)
            np.testing.assert_allclose(
                reference[f"after/{name}"][step], param, rtol=1e-5, atol=1e-6
            )


def test_the_same_optimizer_does_not_deviate(reference):
    assert deviation(same_rate(RATE), reference) < 1e-6


def test_deviation_is_a_share_of_the_way(reference):
    away = deviation(same_rate(RATE * 1.01), reference)
    assert golden.TOLERANCE < 0.005 < away < 0.05
    assert deviation(same_rate(0.0), reference) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("name", golden.SHAPES)
def test_a_single_tensor_that_is_not_finite_deviates(reference, name: str):
    assert not deviation(same_rate(RATE, **{name: np.nan}), reference) < golden.TOLERANCE


def test_a_reference_that_stands_still_is_kept_to_absolutely():
    arrays = recorded(0.0)
    assert deviation(same_rate(0.0), arrays) == 0
    assert deviation(same_rate(RATE), arrays) > golden.TOLERANCE
    assert all(jnp.all(arrays[f"after/{n}"] == arrays[f"param/{n}"][None]) for n in golden.SHAPES)
