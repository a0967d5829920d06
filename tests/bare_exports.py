"""Exports whose reference trajectory is of an optimizer that stands still: nothing is compiled."""

from unittest import mock

import jax
import numpy as np

from metaopt import exports, golden


def standing_still(optimizer, arrays):
    del optimizer
    params = golden.part(arrays, "param")
    return {name: np.stack([x] * golden.NUM_STEPS) for name, x in params.items()}


def bare_export(path, optimizer, meta_params=None):
    """For loaders that do not check the trajectory."""
    if meta_params is None:
        meta_params = optimizer.init(jax.random.key(0))
    with mock.patch.object(exports, "trajectory", standing_still):
        return exports.export(path, optimizer, meta_params)
