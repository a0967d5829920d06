"""Which meta-parameters a name is of, and what is left of a tree."""

import numpy as np
import pytest

from metaopt.trained_part import keep_part, which_are_part
from taskset.errors import InputError

META_PARAMS = {
    "mlp": {"layer0": {"weight": np.ones(2), "bias": np.ones(1)}, "layer1": np.ones(3)},
    "mlp2": np.ones(1),
}


def test_a_name_is_of_a_leaf_or_of_all_below_it():
    part = which_are_part(META_PARAMS, ["mlp.layer0"])
    expected = {"mlp": {"layer0": {"weight": True, "bias": True}, "layer1": False}, "mlp2": False}
    assert part == expected
    assert which_are_part(META_PARAMS, ["mlp2", "mlp.layer0.bias"]) == {
        "mlp": {"layer0": {"weight": False, "bias": True}, "layer1": False},
        "mlp2": True,
    }


def test_what_is_no_part_is_zero():
    kept = keep_part(META_PARAMS, which_are_part(META_PARAMS, ["mlp"]))
    np.testing.assert_array_equal(kept["mlp"]["layer1"], 1.0)
    np.testing.assert_array_equal(kept["mlp2"], 0.0)


@pytest.mark.parametrize("name", ["mlp.layer", "layer0", "mlp.layer0.weights", ""])
def test_a_name_of_nothing_is_refused(name):
    with pytest.raises(InputError, match="meta-parameter to train"):
        which_are_part(META_PARAMS, [name])
