"""A message comes back as it was, and crosses as one vector."""

import pickle

import jax
import numpy as np
import pytest

from metaopt.aggregate import Weights, WorkerResult
from metaopt.estimators.base import Estimate
from metaopt.normalize import LossScale
from workers import wire

# Not a number in two forms, both zeros, the smallest and the greatest: every bit has to survive.
BITS = np.array([0x7FC00001, 0xFFC00000, 0x80000000, 0, 1, 0x7F7FFFFF], np.uint32)
SPECIAL = BITS.view(np.float32)
TREE = {"empty": np.zeros((0, 3), np.float32), "scalar": np.float32(2.5), "list": [SPECIAL]}


def crossed(message):
    return wire.unpack(pickle.loads(pickle.dumps(wire.pack(message))))


def bits(tree):
    return [(np.shape(leaf), np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(tree)]


def test_weights_come_back_to_the_bit():
    scales = {"a": LossScale(np.float32(2.0), np.float32(0.25)), "b": LossScale()}
    sent = Weights(7, TREE, scales)
    found = crossed(sent)
    assert isinstance(found, Weights) and isinstance(found.loss_scales["a"], LossScale)
    assert found.outer_step == 7
    assert jax.tree.structure(found) == jax.tree.structure(sent)
    assert bits(found) == bits(sent)


def test_a_result_comes_back_to_the_bit():
    metrics = {"nonfinite_runs": np.float32(1.0)}
    sent = WorkerResult(
        3, "mlp", 9, Estimate(TREE, np.float32(0.5), np.float32(4.0), metrics), 0.25
    )
    found = crossed(sent)
    assert (found.worker, found.task, found.outer_step, found.seconds) == (3, "mlp", 9, 0.25)
    assert bits(found.estimate) == bits(sent.estimate)


def test_all_arrays_are_one_vector():
    packed = wire.pack(Weights(0, {"a": jax.numpy.ones((2, 3)), "b": TREE}, {"t": LossScale()}))
    assert packed.vector.shape == (6 + 0 + 1 + 6 + 2,)
    kinds = {type(leaf) for leaf in jax.tree.leaves(packed.layout)}
    assert kinds == {int, wire.Slot}


@pytest.mark.parametrize("dtype", ["float64", "int32", "bfloat16"])
def test_other_dtypes_are_refused_and_not_rounded(dtype):
    with pytest.raises(TypeError, match=f"{dtype}; it has to be float32"):
        wire.pack({"a": np.ones(2, jax.numpy.dtype(dtype))})


def test_what_is_no_message_is_refused():
    with pytest.raises(ValueError, match="a dict is no message"):
        wire.unpack({})
    packed = wire.pack({"a": np.ones(3, np.float32)})
    with pytest.raises(ValueError, match="a message of 2 numbers lays out 3"):
        wire.unpack(packed._replace(vector=packed.vector[:2]))
