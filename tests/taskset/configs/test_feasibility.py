"""Which convolutional configurations cannot be built."""

import jax
import numpy as np
import pytest

from taskset import configs
from taskset.configs.feasibility import convolved_side
from taskset.errors import InputError


@pytest.mark.parametrize(("family", "count"), [("conv_fc_family", 57), ("conv_pooling_family", 51)])
def test_as_many_are_infeasible_as_in_the_release(family, count):
    feasible = [configs.feasible(f"{family}_seed{seed}") for seed in range(1000)]
    assert feasible.count(False) == count


@pytest.mark.parametrize("family", [name for name in configs.names() if "conv" not in name])
def test_other_families_can_always_be_built(family):
    assert all(configs.feasible(f"{family}_seed{seed}") for seed in range(100))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "conv_fc_family_seed25",
            "convolution 5 of 5 (VALID padding) needs an input of at least 3x3 and gets 1x1",
        ),
        (
            "conv_pooling_family_seed33",
            "convolution 5 of 5 (VALID padding) needs an input of at least 3x3 and gets 2x2",
        ),
    ],
)
def test_an_infeasible_task_has_a_configuration_and_a_reason(name, reason):
    assert configs.config(name)["strides"]
    assert configs.infeasible_reason(name) == reason
    with pytest.raises(configs.InfeasibleTask) as caught:
        configs.check_feasible(name)
    assert isinstance(caught.value, InputError)
    assert str(caught.value) == f"{name} cannot be built: {reason}; choose another seed"


def test_a_feasible_task_passes():
    assert configs.infeasible_reason("conv_fc_family_seed0") is None
    assert configs.check_feasible("conv_fc_family_seed0") is None


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_shrinks_as_it_does_in_jax(stride, padding):
    for side in range(3, 33):
        image = jax.ShapeDtypeStruct((1, side, side, 1), np.float32)
        kernel = jax.ShapeDtypeStruct((3, 3, 1, 1), np.float32)
        convolve = lambda image, kernel: jax.lax.conv_general_dilated(
            image,
            kernel,
            (stride, stride),
            padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        output = jax.eval_shape(convolve, image, kernel)
        assert output.shape[1] == convolved_side(side, stride, padding)
